"""Snapshots and write transactions of a store with a log: a snapshot of the base, and changes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer
from langgraph.checkpoint.lmdb.kv.buffering import BufferingWriter
from langgraph.checkpoint.lmdb.kv.log.epoch import Epoch
from langgraph.checkpoint.lmdb.kv.log.records import Changes
from langgraph.checkpoint.lmdb.kv.log.state import KEY

_DELETED = (None,)
"""What the overlay finds for a deleted key."""


class LogReader(Reader):
    """A snapshot: a snapshot of the base, and the changes of its epoch up to a record.

    Args:
        snapshot: The snapshot of the base, which the caller opens and closes.
        epoch: Its epoch.
        limit: Number of the last record that is part of the snapshot.
    """

    __slots__ = ("_limit", "_open", "_overlay", "_snapshot")

    def __init__(self, snapshot: Reader, epoch: Epoch, limit: int) -> None:
        self._snapshot = snapshot
        self._overlay = epoch.overlay
        self._limit = limit
        self._open = True

    def close(self) -> None:
        """Refuse all further use."""
        self._open = False

    def _check_open(self) -> None:
        if not self._open:
            raise UsageError("the transaction is closed", advice="Read within the `with` block.")

    def get(self, key: bytes) -> bytes | None:
        self._check_open()
        found = self._overlay.find(key, self._limit)
        if found is not None:
            return found[0]
        return None if key == KEY else self._snapshot.get(key)

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._merged(start, stop, reverse=reverse)

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        for key, _ in self._merged(start, stop, reverse=reverse, values=False):
            yield key

    def first_key(self, start: bytes, stop: bytes, *, reverse: bool = False) -> bytes | None:
        # The usual case of `keys`, without its iterators. `put` asks twice.
        self._check_open()
        stored = self._snapshot.first_key(start, stop, reverse=reverse)
        changed = self._overlay.first_key(start, stop, reverse=reverse)
        if changed is None or (stored is not None and _precedes(stored, changed, reverse)):
            found = stored
        elif self._overlay.find(changed, self._limit) in (None, _DELETED):
            return super().first_key(start, stop, reverse=reverse)
        else:
            found = changed
        return super().first_key(start, stop, reverse=reverse) if found == KEY else found

    def _merged(
        self, start: bytes, stop: bytes, *, reverse: bool, values: bool = True
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys of a range from the base and the overlay; the overlay wins."""
        self._check_open()
        changes = self._overlay.range(start, stop, self._limit, reverse=reverse)
        changed = next(changes, None)
        for item in self._stored(start, stop, reverse=reverse, values=values):
            key = item[0]
            while changed is not None and _precedes(changed[0], key, reverse):
                if changed[1] is not None:
                    yield changed[0], changed[1]
                changed = next(changes, None)
            if changed is not None and changed[0] == key:
                if changed[1] is not None:
                    yield key, changed[1]
                changed = next(changes, None)
            elif key != KEY:
                yield item
        while changed is not None:
            if changed[1] is not None:
                yield changed[0], changed[1]
                self._check_open()
            changed = next(changes, None)

    def _stored(
        self, start: bytes, stop: bytes, *, reverse: bool, values: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        if values:
            return self._snapshot.range(start, stop, reverse=reverse)
        return ((key, b"") for key in self._snapshot.keys(start, stop, reverse=reverse))


class LogWriter(LogReader, BufferingWriter):
    """A write transaction, whose changes become a record of the log."""

    __slots__ = ("changed", "changes")

    def __init__(self, snapshot: Reader, epoch: Epoch) -> None:
        super().__init__(snapshot, epoch, epoch.position.number)
        self.changes = {}
        self.changed = []

    def get(self, key: bytes) -> bytes | None:
        if key in self.changes:
            self._check_open()
            return self.changes[key]
        return super().get(key)

    def _merged(
        self, start: bytes, stop: bytes, *, reverse: bool, values: bool = True
    ) -> Iterator[tuple[bytes, bytes]]:
        # The own changes may change between two steps, and what is below them may not.
        below = super()._merged(start, stop, reverse=reverse, values=values)
        stored = next(below, None)
        while True:
            while stored is not None and stored[0] in self.changes:
                stored = next(below, None)
            key = self._next_changed(start, stop, reverse=reverse)
            if stored is not None and (key is None or _precedes(stored[0], key, reverse)):
                key = stored[0]
                yield stored
                self._check_open()
                stored = next(below, None)
            elif key is not None:
                value = self.changes[key]
                if value is not None:
                    yield key, value
                    self._check_open()
            else:
                return
            start, stop = (start, key) if reverse else (key + b"\0", stop)

    def first_key(self, start: bytes, stop: bytes, *, reverse: bool = False) -> bytes | None:
        own = self._next_changed(start, stop, reverse=reverse)
        if own is not None and self.changes[own] is None:
            return Reader.first_key(self, start, stop, reverse=reverse)
        below = super().first_key(start, stop, reverse=reverse)
        if own is None or (below is not None and _precedes(below, own, reverse)):
            return below
        return own

    def _next_changed(self, start: bytes, stop: bytes, *, reverse: bool) -> bytes | None:
        """Return the first key of the own changes in a range, or the last one, or None."""
        if reverse:
            at = bisect_left(self.changed, stop) - 1
            return self.changed[at] if at >= 0 and self.changed[at] >= start else None
        at = bisect_left(self.changed, start)
        return self.changed[at] if at < len(self.changed) and self.changed[at] < stop else None

    def put(self, key: bytes, value: bytes) -> None:
        if key == KEY:
            raise UsageError(f"the key {KEY!r} belongs to the log")
        super().put(key, value)


def _precedes(key: bytes, other: bytes, reverse: bool) -> bool:
    return key > other if reverse else key < other


def apply(writer: Writer, changes: Changes) -> None:
    """Apply changes in a write transaction, in the order of their keys."""
    for key, value in sorted(changes.items(), key=_key):
        if value is None:
            writer.delete(key)
        else:
            writer.put(key, value)


def _key(item: tuple[bytes, Any]) -> bytes:
    return item[0]
