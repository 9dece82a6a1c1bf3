"""The agenda: which threads there are by time, for listing and for whatever has to be done later.

Its entries follow from the thread's record alone, so that a lost or wrong entry can be found out
and made again. An entry is a key without a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from langgraph.checkpoint.lmdb.format import keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.kv.base import Reader

INDEX_LAG_MS = 20
"""Milliseconds by which an entry may be behind its thread: activity within that time moves none."""
NEVER = 0
"""The time to live of a thread that does not expire."""

BY_ACTIVITY = 0
"""By last activity: threads that the store's usual time to live holds for."""
BY_ACTIVITY_OTHER = 1
"""By last activity: all other threads."""
BY_EXPIRY = 2
"""By the end of a time to live of their own."""
BY_OLDEST = 3
"""By when the oldest checkpoint was stored that is not the latest of its namespace."""
NEEDS_TRIM = 4
"""Without a time: threads that got checkpoints since a limit on history was applied to them."""


class TimeIndexEntry(NamedTuple):
    """A thread on the agenda."""

    kind: int
    time: int
    """Milliseconds since the epoch."""
    thread: int

    def key(self) -> bytes:
        return keys.time_index(self.kind, self.time) + keys.number(self.thread)


def entries(
    thread: int,
    indexed_at: int,
    ttl: int | None,
    ttl_applied: bool,
    needs_trim: bool,
    oldest: int | None,
) -> list[TimeIndexEntry]:
    """The entries that a thread has to have, by fields of its record."""
    found = [
        TimeIndexEntry(
            BY_ACTIVITY if ttl is None and not ttl_applied else BY_ACTIVITY_OTHER,
            indexed_at,
            thread,
        )
    ]
    if ttl and not ttl_applied:
        found.append(TimeIndexEntry(BY_EXPIRY, indexed_at + ttl, thread))
    if oldest is not None:
        found.append(TimeIndexEntry(BY_OLDEST, oldest, thread))
    if needs_trim:
        found.append(TimeIndexEntry(NEEDS_TRIM, 0, thread))
    return found


def due_before(
    reader: Reader, kind: int, time: int, after: TimeIndexEntry | None = None
) -> Iterator[TimeIndexEntry]:
    """The entries of a kind up to a time, the earliest first; those behind `after` if given."""
    start = keys.time_index(kind, 0) if after is None else after.key() + b"\x00"
    for key in reader.keys(start, keys.time_index(kind, time + 1)):
        yield _entry(key)


def newest(reader: Reader, kind: int, before: int) -> Iterator[TimeIndexEntry]:
    """The entries of a kind before a time, the latest first."""
    for key in reader.keys(keys.time_index(kind, 0), keys.time_index(kind, before), reverse=True):
        yield _entry(key)


def _entry(key: bytes) -> TimeIndexEntry:
    kind, at = keys.read_number(key, 1)
    time, at = keys.read_number(key, at)
    thread, _ = keys.read_number(key, at)
    return TimeIndexEntry(kind, time, thread)
