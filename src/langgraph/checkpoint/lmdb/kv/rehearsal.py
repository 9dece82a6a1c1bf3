"""`Rehearsal`: a write transaction on a snapshot, whose changes are dropped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from langgraph.checkpoint.lmdb.kv.base import Reader
from langgraph.checkpoint.lmdb.kv.buffering import BufferingWriter


class Rehearsal(BufferingWriter):
    """A write transaction in memory, by which a dry run tells what it would change.

    It takes no lock and writes nothing, so it also works on a store that is open for reading.

    Args:
        reader: The snapshot.
    """

    __slots__ = ("_reader", "changed", "changes")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.changes = {}
        self.changed = []

    def get(self, key: bytes) -> bytes | None:
        return self.changes[key] if key in self.changes else self._reader.get(key)

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

    def _next(self, start: bytes, stop: bytes, reverse: bool) -> bytes | None:
        """Return the first or the last key of a range, among new and unchanged keys, or None."""
        unchanged = (
            key
            for key in self._reader.keys(start, stop, reverse=reverse)
            if key not in self.changes
        )
        first, end = bisect_left(self.changed, start), bisect_left(self.changed, stop)
        changed = self.changed[first:end]
        new = (
            key
            for key in (reversed(changed) if reverse else changed)
            if self.changes[key] is not None
        )
        found = [key for key in (next(unchanged, None), next(new, None)) if key is not None]
        return (max if reverse else min)(found, default=None)
