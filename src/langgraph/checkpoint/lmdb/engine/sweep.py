"""Sweeps: expired threads and old history are deleted in small transactions.

`_due_times` decides which threads a sweep checks. `_sweep_thread` decides what it deletes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from langgraph.checkpoint.lmdb.engine import prune, sharing, thread_record, threads, time_index
from langgraph.checkpoint.lmdb.engine.options import RetentionPolicy, StoreOptions
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.engine.time_index import TimeIndexEntry
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

SWEEP_BATCH = 200
"""Checkpoints and writes that one transaction deletes, unless a single thread has more."""


@dataclass(slots=True)
class SweepCounts:
    """The counts of a sweep or of one batch of a sweep."""

    entries: int = 0
    """Entries of the time index that were handled."""
    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    bytes: int = 0

    def add(self, other: SweepCounts) -> None:
        """Add the counts of another batch."""
        self.entries += other.entries
        self.threads += other.threads
        self.checkpoints += other.checkpoints
        self.writes += other.writes
        self.bytes += other.bytes


def due(
    reader: Reader, options: StoreOptions, now: int, after: TimeIndexEntry | None
) -> Iterator[TimeIndexEntry]:
    """List the entries of the time index that are due, from the first one behind `after`."""
    for kind, time in _due_times(options.retention, now).items():
        if time >= 0 and (after is None or after.kind <= kind):
            start = after if after is not None and after.kind == kind else None
            yield from time_index.due_before(reader, kind, time, start)


def _due_times(retention: RetentionPolicy, now: int) -> dict[int, int]:
    """Return the time up to which entries are due, by kind, in the order of a sweep."""
    times = {
        time_index.BY_ACTIVITY: None if retention.ttl is None else now - retention.ttl,
        time_index.BY_EXPIRY: now,
        time_index.BY_OLDEST: None if retention.max_age is None else now - retention.max_age - 1,
        time_index.NEEDS_TRIM: None if retention.keep_last is None else 0,
    }
    return {kind: time for kind, time in times.items() if time is not None}


def sweep(
    writer: Writer,
    options: StoreOptions,
    entries: Sequence[TimeIndexEntry],
    now: int,
    detached: set[int] | None = None,
) -> SweepCounts:
    """Sweep the first entries of a batch, up to `SWEEP_BATCH` checkpoints and writes.

    Each thread is checked again in this transaction. If it is no longer due, its entry is counted
    as handled and the thread is kept.

    Args:
        writer: The write transaction.
        options: The options of the store.
        entries: The entries of the time index.
        now: Milliseconds since the epoch.
        detached: In a dry run, whose batches drop their changes: the threads that gave up their
            layers in this batch or an earlier one. A thread may be due by several entries there,
            and is counted once. None: not a dry run.
    """
    counts = SweepCounts()
    for entry in entries:
        if counts.checkpoints + counts.writes >= SWEEP_BATCH:
            break
        counts.entries += 1
        thread = threads.read(writer, entry.thread)
        if thread is None or entry not in thread_record.entries(thread):
            continue
        if detached is not None and _already_counted(options.retention, thread, entry, now):
            continue
        has_layers, before = bool(thread.layers), _usage(writer, thread, detached)
        _sweep_thread(writer, options, thread, entry.kind, now)
        counts.add(_removed(before, _usage(writer, thread, detached)))
        if detached is not None and has_layers and not thread.layers:
            detached.add(thread.number)
    return counts


def _usage(reader: Reader, thread: Thread, detached: set[int] | None) -> SweepCounts:
    """Return what a sweep could delete with a thread: its own, and layers that only it shows."""
    size = sharing.own_size(reader, thread, detached or ())
    return SweepCounts(checkpoints=thread.checkpoints, writes=thread.writes, bytes=size)


def _removed(before: SweepCounts, after: SweepCounts) -> SweepCounts:
    removed = SweepCounts(
        checkpoints=before.checkpoints - after.checkpoints,
        writes=before.writes - after.writes,
        bytes=before.bytes - after.bytes,
    )
    removed.threads = int(removed != SweepCounts())
    return removed


def _already_counted(
    retention: RetentionPolicy, thread: Thread, entry: TimeIndexEntry, now: int
) -> bool:
    """Return True if this dry run has counted the thread by an entry of an earlier kind."""
    times = _due_times(retention, now)
    return any(
        earlier.kind < entry.kind
        and earlier.time <= times.get(earlier.kind, -1)
        and (earlier.kind == time_index.BY_OLDEST or retention.is_expired(thread, now))
        for earlier in thread_record.entries(thread)
    )


def _sweep_thread(
    writer: Writer,
    options: StoreOptions,
    thread: Thread,
    kind: int,
    now: int,
) -> None:
    """Apply the retention policy to a thread that is due by one kind of entry.

    An expired thread is deleted, or trimmed to its latest checkpoints if the policy keeps expired
    threads. Any other thread loses the checkpoints that the limits on history do not keep.
    """
    retention = options.retention
    if kind in (time_index.BY_ACTIVITY, time_index.BY_EXPIRY):
        if not retention.is_expired(thread, now):
            return
        if retention.delete_expired or not thread.checkpoints:
            prune.remove_thread(writer, thread, prune.PURGE_BATCH)
        else:
            thread.ttl_applied = True
            prune.trim(writer, thread, 1, None, options)
    else:
        oldest = None if retention.max_age is None else now - retention.max_age
        if retention.keep_last is not None:  # else a saver with this limit has yet to apply it
            thread.needs_trim = False
        prune.trim(writer, thread, retention.keep_last, oldest, options)
