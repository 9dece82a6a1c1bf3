"""`LocalLockManager`: locks within one process, for savers whose state ends with the process."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timezone

from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.locks import LockHolder, Locks


class LocalLockManager(Locks[LockHolder]):
    """A lock manager for the threads of one process. Other managers do not see its locks."""

    def is_locked(self, name: str) -> bool:
        """Return True if a thread holds the lock."""
        return self.holder(name) is not None

    def holder(self, name: str) -> LockHolder | None:
        """Return this process if one of its threads holds the lock; None if it is free."""
        return self._held.get(arguments.text(name, "name"))

    def _take(self, name: str) -> LockHolder:  # noqa: ARG002 - the table has excluded the others
        return LockHolder(socket.gethostname(), os.getpid(), datetime.now(timezone.utc))

    def _give(self, name: str, token: LockHolder) -> None:
        pass

    def _is_valid(self, token: LockHolder) -> bool:  # noqa: ARG002
        return True

    def _disown(self, tokens: list[LockHolder]) -> None:
        pass
