"""One epoch of the log, as one process has it in memory."""

from __future__ import annotations

from langgraph.checkpoint.lmdb.kv.locks import Lock
from langgraph.checkpoint.lmdb.kv.log import records
from langgraph.checkpoint.lmdb.kv.log import state as states
from langgraph.checkpoint.lmdb.kv.log.log_file import LogFile
from langgraph.checkpoint.lmdb.kv.log.overlay import Overlay
from langgraph.checkpoint.lmdb.kv.log.records import Changes, Position


class Epoch:
    """The state of the base and the records that follow it.

    An epoch is never reset. A merge begins another one, and a reader keeps the epoch of its
    snapshot for as long as it is open. So a long reader costs the memory of one epoch.

    Attributes:
        record: The record of the state, as the base holds it.
        state: The state.
        position: Position behind the last record that was adopted.
        overlay: The changes of the adopted records.
    """

    __slots__ = ("_lock", "overlay", "position", "record", "state")

    def __init__(self, record: bytes) -> None:
        self._lock = Lock()
        self.record = record
        self.state = states.decode(record)
        self.position = records.start(self.state)
        self.overlay = Overlay()

    def adopt(self, log: LogFile, limit: int | None = None) -> bool:
        """Adopt the records that follow in the log; return True if the limit is reached.

        Args:
            log: The log.
            limit: Number of the last record to adopt. None: all records that are whole.

        Raises:
            UsageError: This call interrupts another one of the same thread, as in a signal handler.
        """
        if limit is not None and self.position.number >= limit:
            return True
        self._lock.check_free()
        with self._lock:
            while limit is None or self.position.number < limit:
                found = log.read(self.position)
                if found is None:
                    return limit is None
                self._add(*found)
        return True

    def add(self, changes: Changes, position: Position) -> None:
        """Add the record that this process has just written."""
        with self._lock:
            self._add(changes, position)

    def _add(self, changes: Changes, position: Position) -> None:
        self.overlay.add(position.number, changes)
        self.position = position  # last: an interrupted call is repeated
