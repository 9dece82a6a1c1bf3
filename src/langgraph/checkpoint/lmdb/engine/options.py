"""The options of a store: compression, clock, and retention policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.engine import thread_record, threads
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.engine.time_index import NEVER
from langgraph.checkpoint.lmdb.engine.writes import Write
from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.base import Reader

StateOf: TypeAlias = Callable[
    [Reader, CheckpointRecord, Sequence[tuple[str, Write]], int | None], int | None
]
"""Function that returns the state of a checkpoint with its pending writes, each with its task
id, by decoding at most so many bytes of values; None if it cannot decode them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """A policy that says how long threads and their history are kept. Times are in milliseconds."""

    ttl: int | None = None
    """Time from a thread's last activity until it expires, unless the thread has its own TTL.
    None: it never expires."""
    delete_expired: bool = True
    """True: an expired thread is deleted. False: it keeps its latest checkpoints."""
    keep_last: int | None = None
    """Checkpoints that a namespace may keep. None: any number."""
    max_age: int | None = None
    """Age at which a checkpoint that is not the latest of its namespace is deleted."""
    refresh_on_read: bool = False
    """True: reading the latest checkpoint of a thread counts as activity."""
    sweep_interval: int | None = None
    """Time between two background sweeps. None: no background sweeps."""

    def expires(self, thread: Thread) -> int | None:
        """Return when a thread expires; None if it never does."""
        ttl = self.ttl if thread.ttl is None else thread.ttl
        return None if ttl is None or ttl == NEVER else thread.updated + ttl

    def is_expired(self, thread: Thread, now: int) -> bool:
        """Return True if the TTL of a thread has passed."""
        expires = self.expires(thread)
        return expires is not None and expires <= now

    def is_hidden(self, thread: Thread, now: int) -> bool:
        """Return True if a thread has expired and must be treated as deleted."""
        return self.delete_expired and self.is_expired(thread, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """The options that every operation on a store obeys."""

    level: int | None
    """Compression level of zstd. None: no compression."""
    clock: Callable[[], float]
    """Function that returns the time in seconds since the epoch."""
    is_ephemeral: Callable[[str], bool]
    """Function that returns True for a channel whose history is never read."""
    is_subgraph_call: Callable[[str], bool]
    """Function that returns True for the checkpoint namespace of one subgraph call."""
    state_of: StateOf
    """Function that returns the state of the thread whose latest root checkpoint is given."""
    retention: RetentionPolicy

    def now(self) -> int:
        """Return the time in milliseconds since the epoch.

        Raises:
            UsageError: The clock does not return a time before the year 10000.
        """
        time = self.clock()
        try:
            now = max(0, int(time * 1000))
        except (TypeError, ValueError, OverflowError):
            now = thread_record.MAX_TIME + 1
        if now > thread_record.MAX_TIME:
            expected = "return seconds since the epoch, before the year 10000"
            raise UsageError(f"clock must {expected}, got {validation.shown(time)}")
        return now

    def now_of(self, reader: Reader) -> int:
        """Return the time by which all processes of a store measure leases: its own, if any."""
        now = reader.now()
        return self.now() if now is None else now

    def is_hidden(self, thread: Thread) -> bool:
        """Return True if a thread has expired and must be treated as deleted."""
        return self.retention.expires(thread) is not None and self.retention.is_hidden(
            thread, self.now()
        )

    def find_thread(self, reader: Reader, thread_id: str) -> Thread | None:
        """Return the thread of this id, unless it is missing or hidden."""
        thread = threads.find(reader, thread_id)
        return None if thread is None or self.is_hidden(thread) else thread
