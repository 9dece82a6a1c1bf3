"""The time index: threads by time, for lists and sweeps.

The entries of a thread follow from its record alone, so a missing or wrong entry can be found and
rebuilt. An entry is a key without a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.kv.base import Reader

INDEX_LAG_MS = 20
"""Milliseconds that an entry may lag behind its thread: activity within this time moves no
entry."""
NEVER = 0
"""The TTL of a thread that never expires."""

BY_ACTIVITY = 0
"""By last activity: threads with the TTL of the saver's policy."""
BY_ACTIVITY_OTHER = 1
"""By last activity: all other threads."""
BY_EXPIRY = 2
"""By expiry: threads with a TTL of their own."""
BY_OLDEST = 3
"""By the time of the oldest checkpoint that is not the latest of its namespace."""
NEEDS_TRIM = 4
"""Without a time: threads with checkpoints that no limit on history was applied to yet."""
BY_STATE = 8
"""By last activity: threads in one state of a run. The kind of state n is `BY_STATE + n`."""
STATE_LAG_MS = 60_000
"""Milliseconds that an entry of a state lags behind its thread at most: its time is in steps of
this length, so that activity rarely moves the entry."""


class TimeIndexEntry(NamedTuple):
    """An entry of the time index."""

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
    state: int | None,
    state_time: int,
) -> list[TimeIndexEntry]:
    """Return the entries that a thread must have, from fields of its record."""
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
    if state is not None:
        found.append(TimeIndexEntry(BY_STATE + state, state_time, thread))
    return found


def due_before(
    reader: Reader, kind: int, time: int, after: TimeIndexEntry | None = None
) -> Iterator[TimeIndexEntry]:
    """List the entries of a kind up to a time, earliest first, from behind `after` if given."""
    start = keys.time_index(kind, 0) if after is None else after.key() + b"\x00"
    for key in reader.keys(start, keys.time_index(kind, time + 1)):
        yield _entry(key)


def newest(reader: Reader, kind: int, before: int) -> Iterator[TimeIndexEntry]:
    """List the entries of a kind before a time, latest first."""
    for key in reader.keys(keys.time_index(kind, 0), keys.time_index(kind, before), reverse=True):
        yield _entry(key)


def _entry(key: bytes) -> TimeIndexEntry:
    kind, at = keys.read_number(key, 1)
    time, at = keys.read_number(key, at)
    thread, _ = keys.read_number(key, at)
    return TimeIndexEntry(kind, time, thread)
