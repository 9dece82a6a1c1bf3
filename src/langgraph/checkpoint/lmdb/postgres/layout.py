"""The tables of a checkpoint store on PostgreSQL: one for each kind of record.

Rows of a thread hold the thread's number and the end of their keys. So all rows of a thread are
found by its number, and the tables may be distributed by thread.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from langgraph.checkpoint.lmdb.engine import threads
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.format.keys import Kind
from langgraph.checkpoint.lmdb.kv.postgres.layout import (
    STORE,
    Bound,
    Layout,
    Place,
    Table,
    TableRange,
    Tail,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_SETTINGS = Table("settings", by_thread=False)
_NAMES = Table("thread_ids", by_thread=False)
_OTHER = Table("other_records", by_thread=False)
_THREADS = Table("threads", by_thread=True, is_updated=True)
_CHECKPOINTS = Table("checkpoints", by_thread=True)
_WRITES = Table("writes", by_thread=True)
_ORPHANED = Table("orphaned_chunks", by_thread=True)
_SHARED = Table("shared_chunks", by_thread=True)
_DELETED = Table("deleted_threads", by_thread=True)
_LAYERS = Table("layers", by_thread=True)
_NAMESPACES = Table("namespaces", by_thread=True)
_OF_STORE: Final = {
    b"\x00": _SETTINGS,
    Kind.THREAD_ID: _NAMES,
    Kind.TIME: Table("time_index", by_thread=False),
    Kind.TERM: Table("checkpoint_terms", by_thread=False),
    Kind.THREAD_TERM: Table("thread_terms", by_thread=False),
    Kind.SNAPSHOTS: Table("snapshots", by_thread=False),
}
"""Table of each kind of key that does not begin with a thread's number."""
_OF_THREAD: Final = {
    (Kind.THREAD, b""): _THREADS,
    (Kind.THREAD, Kind.CHECKPOINT): _CHECKPOINTS,
    (Kind.THREAD, Kind.CHUNK): Table("chunks", by_thread=True, is_large=True),
    (Kind.THREAD, Kind.COMPACTED): Table("channel_history", by_thread=True),
    (Kind.THREAD, Kind.CHILD): Table("children", by_thread=True),
    (Kind.THREAD, Kind.WRITES): _WRITES,
    (Kind.NAMESPACE, b""): _NAMESPACES,
    (Kind.ORPHANED, b""): _ORPHANED,
    (Kind.SHARED_REFS, b""): _SHARED,
    (Kind.TOMBSTONE, b""): _DELETED,
    (Kind.LAYER, b""): _LAYERS,
    (Kind.LAYER_USER, b""): Table("layer_users", by_thread=True),
}
"""Table of each kind of key that begins with a thread's number: the letters before and behind the
number."""
_PREFIXES: Final = {table: prefix for prefix, table in _OF_THREAD.items()}
_NUMBERED: Final = frozenset(kind for kind, _ in _OF_THREAD)
_TERM_END: Final = 1 + keys.HASH_SIZE
_MAX_PLAIN_ID: Final = 80
"""Characters of an id that keys never hold truncated or as a digest."""
_MAX_NUMBER: Final = (1 << 63) - 1
_CACHED_KEYS: Final = 4096
"""Keys whose places are kept: a transaction asks for each of its keys several times."""
_ROOT: Final = keys.number(keys.ROOT)
_BEHIND_ROOT: Final = keys.number(keys.ROOT + 1)


class CheckpointLayout(Layout):
    """The layout of a checkpoint store."""

    tables = (*_OF_STORE.values(), *_OF_THREAD.values(), _OTHER)
    names = _NAMES
    anchors = (_THREADS, _LAYERS, _DELETED, _ORPHANED, _SHARED)

    def tails(self, rows: int = 1, before: str | None = None) -> Sequence[Tail]:
        end = _BEHIND_ROOT
        if before is not None and len(before) < _MAX_PLAIN_ID and "\x00" not in before:
            end = _ROOT + keys.text(before)
        return (
            Tail(_THREADS, b"", None, 1),
            Tail(_NAMESPACES, b"", None, 50),
            Tail(_CHECKPOINTS, _ROOT, end, rows),
            Tail(_WRITES, _ROOT, end, 4 * rows + 16),
        )

    def place(self, key: bytes) -> Place:
        return _place(key)

    def whole_key(self, table: Table, thread: int, key: bytes) -> bytes:
        if not table.by_thread:
            return key
        before, behind = _PREFIXES[table]
        return before + keys.number(thread) + behind + key

    def end_of_tail(self, tail: Tail, thread: int) -> bytes:
        if tail.high is not None:
            return self.whole_key(tail.table, thread, tail.high)
        start = self.whole_key(tail.table, thread, b"")
        return start + b"\x00" if tail.table is _THREADS else keys.prefix_end(start)

    def split(self, start: bytes, stop: bytes) -> list[TableRange]:
        found: list[TableRange] = []
        for kind, table in _OF_STORE.items():
            if start < keys.prefix_end(kind) and kind < stop:
                found.append(TableRange(table, (0, max(start, kind)), (0, stop)))
        for (before, behind), table in _OF_THREAD.items():
            if start < keys.prefix_end(before) and before < stop:
                low, high = _bound(before, behind, start), _bound(before, behind, stop)
                if low is not None and low[1] and table is _THREADS:  # its rows have no keys
                    low = _at(low[0] + 1, b"")
                if low != _END and (high is None or low is None or low < high):
                    found.append(TableRange(table, low, None if high == _END else high))
        if not self._is_of_one_table(start, stop):
            found.append(TableRange(_OTHER, (0, start), (0, stop)))
        return found

    def ranges_of_unit(self, unit: int) -> list[tuple[bytes, bytes]]:
        starts = [kind + keys.number(unit) for kind in sorted(_NUMBERED)]
        return [(start, keys.prefix_end(start)) for start in starts]

    def unit(self, key: bytes) -> int | None:
        return _unit(key)

    def unit_of_range(self, start: bytes, stop: bytes) -> int | None:
        if start[:1] == b"\x00" and stop <= b"\x01":
            return STORE
        numbered = _read_thread(start)
        if numbered is None:
            return None
        thread, at = numbered
        return thread if stop <= keys.prefix_end(start[:at]) else None

    def named(self, key: bytes, value: bytes) -> int | None:
        try:
            return threads.named(key, value)
        except IntegrityError:
            return None  # it is encrypted

    def _is_of_one_table(self, start: bytes, stop: bytes) -> bool:
        """Return True if a range is within the keys of one table."""
        end = 1
        if start[:1] not in _OF_STORE:
            numbered = _read_thread(start)
            if numbered is None:
                return False
            _, end = numbered
            if start[:1] == Kind.THREAD:
                end += 1
                if (Kind.THREAD, start[end - 1 : end]) not in _OF_THREAD:
                    return False
        return len(start) >= end and stop <= keys.prefix_end(start[:end])


_WHOLE_ENDS: Final = frozenset(table for (_, behind), table in _OF_THREAD.items() if not behind)
_END: Final = (_MAX_NUMBER + 1, b"")


@lru_cache(maxsize=_CACHED_KEYS)
def _place(key: bytes) -> Place:
    kind = key[:1]
    table = _OF_STORE.get(kind)
    if table is not None:
        return Place(table, _owner(kind, key), key)
    numbered = _read_thread(key)
    if numbered is not None:
        thread, at = numbered
        table = _OF_THREAD.get((kind, key[at : at + 1] if kind == Kind.THREAD else b""))
        if table is not None:
            return Place(table, thread, key[at + (table not in _WHOLE_ENDS) :])
    return Place(_OTHER, None, key)


@lru_cache(maxsize=_CACHED_KEYS)
def _unit(key: bytes) -> int | None:
    place = _place(key)
    if place.table is _NAMES:
        return None
    if place.table is _OTHER:
        numbered = _read_thread(key)
        return STORE if numbered is None else numbered[0]
    return STORE if place.thread is None else place.thread


def _owner(kind: bytes, key: bytes) -> int | None:
    """Return the thread of an index entry, whose number is at the end of the key."""
    try:
        if kind == Kind.TIME:
            _, at = keys.read_number(key, 1)
            _, at = keys.read_number(key, at)
        elif kind == Kind.TERM:
            _, at = keys.read_sortable_text(key, _TERM_END)
        elif kind == Kind.THREAD_TERM:
            at = _TERM_END
        else:
            return None
        thread, _ = keys.read_number(key, at)
    except IntegrityError:
        return None
    return thread if thread <= _MAX_NUMBER else None


def _read_thread(key: bytes) -> tuple[int, int] | None:
    """Return the thread that a key begins with, and the offset behind its number; None for another
    key."""
    if key[:1] not in _NUMBERED:
        return None
    try:
        thread, at = keys.read_number(key, 1)
    except IntegrityError:
        return None
    return (thread, at) if thread <= _MAX_NUMBER and key[1:at] == keys.number(thread) else None


def _bound(before: bytes, behind: bytes, key: bytes) -> Bound | None:
    """Return the first possible row of a table whose key is not below `key`.

    None: any row. `_END`: no row.
    """
    if key <= before:
        return None
    if key[:1] != before:
        return _END
    first = key[1]
    if first < 240:
        thread, at = first, 2
    else:
        size = first - 239
        if size > 8:
            return _END
        digits = key[2 : 2 + size]
        thread = int.from_bytes(digits + bytes(size - len(digits)), "big")
        least = 240 if size == 1 else 1 << 8 * (size - 1)
        if len(digits) < size or thread < least:
            return _at(max(thread, least), b"")
        at = 2 + size
    rest = key[at:]
    if not behind or rest[:1] == behind:
        return _at(thread, rest[len(behind) :])
    return _at(thread, b"") if rest < behind else _at(thread + 1, b"")


def _at(thread: int, key: bytes) -> Bound:
    return (thread, key) if thread <= _MAX_NUMBER else _END
