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

FILING = 20
"""Milliseconds by which an entry may be behind its thread: activity within that time moves none."""
NEVER = 0
"""The time to live of a thread that does not expire."""

ACTIVE = 0
"""By last activity: threads that the store's usual time to live holds for."""
ASIDE = 1
"""By last activity: all other threads."""
EXPIRY = 2
"""By the end of a time to live of their own."""
HISTORY = 3
"""By when the oldest checkpoint was stored that is not the latest of its namespace."""
GROWN = 4
"""Without a time: threads that got checkpoints since a limit on history was applied to them."""


class Entry(NamedTuple):
    """A thread on the agenda."""

    kind: int
    time: int
    """Milliseconds since the epoch."""
    thread: int

    def key(self) -> bytes:
        return keys.agenda(self.kind, self.time) + keys.number(self.thread)


def entries(
    thread: int, filed: int, ttl: int | None, settled: bool, grown: bool, oldest: int | None
) -> list[Entry]:
    """The entries that a thread has to have, by fields of its record."""
    found = [Entry(ACTIVE if ttl is None and not settled else ASIDE, filed, thread)]
    if ttl and not settled:
        found.append(Entry(EXPIRY, filed + ttl, thread))
    if oldest is not None:
        found.append(Entry(HISTORY, oldest, thread))
    if grown:
        found.append(Entry(GROWN, 0, thread))
    return found


def until(reader: Reader, kind: int, time: int, after: Entry | None = None) -> Iterator[Entry]:
    """The entries of a kind up to a time, the earliest first; those behind `after` if given."""
    start = keys.agenda(kind, 0) if after is None else after.key() + b"\x00"
    for key in reader.keys(start, keys.agenda(kind, time + 1)):
        yield _entry(key)


def newest(reader: Reader, kind: int, before: int) -> Iterator[Entry]:
    """The entries of a kind before a time, the latest first."""
    for key in reader.keys(keys.agenda(kind, 0), keys.agenda(kind, before), reverse=True):
        yield _entry(key)


def _entry(key: bytes) -> Entry:
    kind, at = keys.read_number(key, 1)
    time, at = keys.read_number(key, at)
    thread, _ = keys.read_number(key, at)
    return Entry(kind, time, thread)
