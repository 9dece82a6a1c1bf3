"""What holds for all operations on a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import threads
from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.operations import validation

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.engine.retention import Retention
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import Reader


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How a store is used."""

    level: int | None
    """zstd's level, or None to store without compression."""
    clock: Callable[[], float]
    """Gives seconds since the epoch."""
    is_ephemeral: Callable[[str], bool]
    """Whether a channel's past is never asked for, so that it need not be folded."""
    is_subgraph_call: Callable[[str], bool]
    """Whether a checkpoint namespace belongs to one call of a subgraph."""
    retention: Retention

    def now(self) -> int:
        """Return the milliseconds since the epoch.

        Raises:
            UsageError: The clock gives something else than a time before the year 10000.
        """
        time = self.clock()
        try:
            now = max(0, int(time * 1000))
        except (TypeError, ValueError, OverflowError):
            now = threads.LATEST + 1
        if now > threads.LATEST:
            expected = "return seconds since the epoch, before the year 10000"
            raise UsageError(f"clock must {expected}, got {validation.shown(time)}")
        return now

    def gone(self, thread: Thread) -> bool:
        """Whether a thread has expired and is not to be seen."""
        return self.retention.expires(thread) is not None and self.retention.gone(
            thread, self.now()
        )

    def find(self, reader: Reader, thread_id: str) -> Thread | None:
        """A thread that has not expired."""
        thread = threads.find(reader, thread_id)
        return None if thread is None or self.gone(thread) else thread
