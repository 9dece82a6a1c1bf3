"""Sweeping: what is past its time goes, in transactions that writers hardly notice."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import prune, threads, time_index
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import envelope, keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langgraph.checkpoint.lmdb.engine.options import StoreOptions
    from langgraph.checkpoint.lmdb.engine.retention import Retention
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.engine.time_index import TimeIndexEntry
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

SWEEP_BATCH = 200
"""Checkpoints and writes that go in one transaction, unless a single thread has more."""


@dataclass(slots=True)
class SweepCounts:
    """What a part of a sweep did."""

    entries: int = 0
    """How many entries of the agenda it dealt with."""
    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    bytes: int = 0


class Rollback(Exception):  # noqa: N818 - it undoes a transaction
    """Carries what a sweep would have done."""

    def __init__(self, swept: SweepCounts) -> None:
        super().__init__()
        self.swept = swept


def due(
    reader: Reader, options: StoreOptions, now: int, after: TimeIndexEntry | None
) -> Iterator[TimeIndexEntry]:
    """What is to be swept, behind an entry if one is given; nothing else is looked at."""
    for kind, end in _ends(options.retention, now).items():
        if end >= 0 and (after is None or after.kind <= kind):
            behind = after if after is not None and after.kind == kind else None
            yield from time_index.due_before(reader, kind, end, behind)


def _ends(retention: Retention, now: int) -> dict[int, int]:
    """Up to when entries are due, by their kind, in the order in which they are dealt with."""
    ends = {
        time_index.BY_ACTIVITY: None if retention.ttl is None else now - retention.ttl,
        time_index.BY_EXPIRY: now,
        time_index.BY_OLDEST: None if retention.max_age is None else now - retention.max_age - 1,
        time_index.NEEDS_TRIM: None if retention.keep_last is None else 0,
    }
    return {kind: end for kind, end in ends.items() if end is not None}


def apply(
    options: StoreOptions, entries: Sequence[TimeIndexEntry], now: int, dry_run: bool
) -> Callable[[Writer], SweepCounts]:
    """Sweep the first of these entries, each if that is still called for.

    Raises (when run):
        DryRun: With the result, if nothing is to be changed.
    """

    def sweep(writer: Writer) -> SweepCounts:
        swept = SweepCounts()
        for entry in entries:
            if swept.checkpoints + swept.writes >= SWEEP_BATCH:
                break
            swept.entries += 1
            if threads.exists(writer, entry.thread):
                thread = threads.load(writer, entry.thread)
                if entry in threads.entries(thread) and not (
                    dry_run and _is_repeated(options.retention, thread, entry, now)
                ):
                    _sweep(writer, options, thread, entry.kind, now, swept)
        if dry_run:
            raise Rollback(swept)
        return swept

    return sweep


def _is_repeated(retention: Retention, thread: Thread, entry: TimeIndexEntry, now: int) -> bool:
    """Whether a thread is due by an entry of an earlier kind, too: it is swept by that one."""
    ends = _ends(retention, now)
    return any(
        earlier.kind < entry.kind
        and earlier.time <= ends.get(earlier.kind, -1)
        and (earlier.kind == time_index.BY_OLDEST or retention.expired(thread, now))
        for earlier in threads.entries(thread)
    )


def _sweep(
    writer: Writer, options: StoreOptions, thread: Thread, kind: int, now: int, swept: SweepCounts
) -> None:
    retention = options.retention
    checkpoints, writes, size = thread.checkpoints, thread.writes, thread.size
    if kind in (time_index.BY_ACTIVITY, time_index.BY_EXPIRY):
        if not retention.expired(thread, now):
            return
        if retention.deletes or not thread.checkpoints:
            prune.delete_thread(writer, thread, prune.PURGE_BATCH)
        else:
            thread.ttl_applied = True
            prune.prune(writer, thread, 1, None, options)
    else:
        oldest = None if retention.max_age is None else now - retention.max_age
        thread.needs_trim = thread.needs_trim and retention.keep_last is None
        prune.prune(writer, thread, retention.keep_last, oldest, options)
    if (thread.checkpoints, thread.writes, thread.size) != (checkpoints, writes, size):
        swept.threads += 1
        swept.checkpoints += checkpoints - thread.checkpoints
        swept.writes += writes - thread.writes
        swept.bytes += size - thread.size


def next_tombstone(reader: Reader, behind: int) -> int | None:
    """The number of the first thread behind another that is out of sight but not gone."""
    start = keys.tombstone(behind) + b"\x00"
    for key in reader.keys(start, keys.after(keys.TOMBSTONE)):
        with suppress(DamagedError):  # a key that nobody made keeps nobody from anything
            number, _ = keys.read_number(key, 1)
            if key == keys.tombstone(number):
                return number
    return None


LEASE = 600_000
"""Milliseconds for which one of several processes may sweep in the background, unless it ends
earlier. If two sweep all the same, no harm is done."""


def claim(token: bytes, now: int, interval: int) -> Callable[[Writer], int]:
    """Ask to be the one that sweeps.

    Args:
        token: Tells processes apart.
        interval: Milliseconds between two sweeps of a store.

    Returns (when run):
        0 if the caller is to sweep now, else the milliseconds after which to ask again.
    """

    def apply(writer: Writer) -> int:
        holder, until, last = sweeper(writer)
        if last is not None and last <= now < last + interval:
            return last + interval - now
        if holder != token and now < until <= now + LEASE:
            return min(until - now, interval)
        _save_sweeper(writer, token, now + LEASE, last)
        return 0

    return apply


def finish(token: bytes, now: int | None) -> Callable[[Writer], None]:
    """Let others sweep.

    Args:
        token: As for `claim`; nothing happens if another process has claimed since.
        now: When the caller has swept the store; None if it has not come to an end.
    """

    def apply(writer: Writer) -> None:
        holder, _, last = sweeper(writer)
        if holder == token:
            _save_sweeper(writer, b"", 0, last if now is None else now)

    return apply


def sweeper(reader: Reader) -> tuple[bytes, int, int | None]:
    """Who may sweep, until when, and when that was done last."""
    record = reader.get(keys.SWEEP_LEASE)
    if record is None:
        return b"", 0, None
    fields = envelope.decode(keys.SWEEP_LEASE, envelope.unseal(keys.SWEEP_LEASE, record))
    if not isinstance(fields, list) or [*map(type, fields)] not in _SWEEPER:
        envelope.raise_damaged(keys.SWEEP_LEASE, "its fields are not those of a sweeper")
    holder, until, last = fields
    return holder, until, last


_SWEEPER = [[bytes, int, last] for last in (int, type(None))]


def _save_sweeper(writer: Writer, holder: bytes, until: int, last: int | None) -> None:
    payload = envelope.encode((holder, until, last))
    writer.put(keys.SWEEP_LEASE, envelope.seal(keys.SWEEP_LEASE, envelope.pack(payload, None)))
