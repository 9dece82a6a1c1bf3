"""Snapshots and write transactions of a store with a log: a snapshot of the base, and changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer
from langgraph.checkpoint.lmdb.kv.buffering import BufferingWriter, precedes
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
        if changed is None or (stored is not None and precedes(stored, changed, reverse)):
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
            while changed is not None and precedes(changed[0], key, reverse):
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


class LogWriter(BufferingWriter):
    """A write transaction, whose changes become a record of the log."""

    __slots__ = ()

    def put(self, key: bytes, value: bytes) -> None:
        if key == KEY:
            raise UsageError(f"the key {KEY!r} belongs to the log")
        super().put(key, value)


def apply(writer: Writer, changes: Changes) -> None:
    """Apply changes in a write transaction, in the order of their keys."""
    for key, value in sorted(changes.items(), key=_key):
        if value is None:
            writer.delete(key)
        else:
            writer.put(key, value)


def _key(item: tuple[bytes, Any]) -> bytes:
    return item[0]
