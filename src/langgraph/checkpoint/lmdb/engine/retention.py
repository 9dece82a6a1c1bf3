"""For how long things are kept: what holds for a store, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine.time_index import NEVER

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.engine.threads import Thread


@dataclass(frozen=True, slots=True)
class Retention:
    """What becomes of threads and their history with time. Times are in milliseconds."""

    ttl: int | None = None
    """From a thread's last activity on, unless it has a time to live of its own; None: for ever."""
    deletes: bool = True
    """Whether a thread that is past it goes as a whole; else it keeps its latest checkpoints."""
    keep_last: int | None = None
    """How many checkpoints a namespace may keep."""
    max_age: int | None = None
    """For how long a checkpoint is kept that is not the latest of its namespace."""

    def expires(self, thread: Thread) -> int | None:
        """When a thread is past its time to live; None: never."""
        ttl = self.ttl if thread.ttl is None else thread.ttl
        return None if ttl is None or ttl == NEVER else thread.updated + ttl

    def expired(self, thread: Thread, now: int) -> bool:
        """Whether a thread is past its time to live."""
        expires = self.expires(thread)
        return expires is not None and expires <= now

    def gone(self, thread: Thread, now: int) -> bool:
        """Whether a thread is not to be seen any more."""
        return self.deletes and self.expired(thread, now)
