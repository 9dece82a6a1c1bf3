"""`Rehearsal`: a write transaction on a snapshot, whose changes are dropped."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.kv.base import Reader, Writer, check_key

if TYPE_CHECKING:
    from collections.abc import Iterator


class Rehearsal(Writer):
    """A write transaction in memory, by which a dry run tells what it would change.

    It takes no lock and writes nothing, so it also works on a store that is open for reading.

    Args:
        reader: The snapshot.
    """

    __slots__ = ("_changed", "_changes", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._changes: dict[bytes, bytes | None] = {}
        """New values; None: the key is deleted."""
        self._changed: list[bytes] = []
        """The keys of the changes, in order."""

    def get(self, key: bytes) -> bytes | None:
        return self._changes[key] if key in self._changes else self._reader.get(key)

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        for key in self.keys(start, stop, reverse=reverse):
            value = self.get(key)
            if value is not None:
                yield key, value

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        # The range may change between two steps, so every step seeks again.
        while (key := self._next(start, stop, reverse)) is not None:
            yield key
            start, stop = (start, key) if reverse else (key + b"\0", stop)

    def put(self, key: bytes, value: bytes) -> None:
        check_key(key)
        self._change(key, bytes(value))

    def delete(self, key: bytes) -> bool:
        found = self.get(key) is not None
        if found:
            self._change(key, None)
        return found

    def delete_range(self, start: bytes, stop: bytes) -> int:
        found = [*self.keys(start, stop)]
        for key in found:
            self._change(key, None)
        return len(found)

    def _change(self, key: bytes, value: bytes | None) -> None:
        if key not in self._changes:
            insort(self._changed, key)
        self._changes[key] = value

    def _next(self, start: bytes, stop: bytes, reverse: bool) -> bytes | None:
        """Return the first or the last key of a range, among new and unchanged keys, or None."""
        unchanged = (
            key
            for key in self._reader.keys(start, stop, reverse=reverse)
            if key not in self._changes
        )
        first, end = bisect_left(self._changed, start), bisect_left(self._changed, stop)
        changed = self._changed[first:end]
        new = (
            key
            for key in (reversed(changed) if reverse else changed)
            if self._changes[key] is not None
        )
        found = [key for key in (next(unchanged, None), next(new, None)) if key is not None]
        return (max if reverse else min)(found, default=None)
