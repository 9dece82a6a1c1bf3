"""Waiting for a lock that another process holds."""

from __future__ import annotations

import random
import time
from typing import Final

from langgraph.checkpoint.lmdb.errors import StoreBusyError
from langgraph.checkpoint.lmdb.kv.lmdb.kernel_locks import holders

TIMEOUT: Final = 60.0  # seconds
_SHARE: Final = 8  # a pause is this part of the time that was waited, but
_LEAST: Final = 50e-6  # seconds
_MOST: Final = 2e-3


class Patience:
    """Pauses between attempts to take a lock.

    Args:
        folder: The store's folder, for errors.
        identity: Device and inode of its data file.
        writing: Whether the lock is the write turn.
    """

    __slots__ = ("_begun", "_folder", "_identity", "_writing")

    def __init__(self, folder: str, identity: tuple[int, int], *, writing: bool) -> None:
        self._begun = time.monotonic()
        self._folder = folder
        self._identity = identity
        self._writing = writing

    def pause(self) -> None:
        """Sleep for a moment.

        Raises:
            StoreBusyError: The time is up.
        """
        waited = time.monotonic() - self._begun
        if waited >= TIMEOUT:
            raise self._busy()
        pause = min(max(waited / _SHARE, _LEAST), _MOST)
        time.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311 - only to be apart

    def _busy(self) -> StoreBusyError:
        lock = "write lock" if self._writing else "reader table"
        message = f"another process has held the store's {lock} for {TIMEOUT:g} s"
        found = holders(self._identity, "FLOCK" if self._writing else "OFDLCK")
        return StoreBusyError(message, path=self._folder, processes=found)
