"""`BufferingWriter`: a write transaction that keeps its changes in memory, above a snapshot."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer, check_key


class BufferingWriter(Writer):
    """A write transaction that reads a snapshot and its own changes, and stores nothing.

    A store commits the changes. A dry run drops them.

    Args:
        snapshot: The snapshot, which the caller opens and closes.

    Attributes:
        changes: New value of each changed key; None: the key is deleted.
    """

    __slots__ = ("_changed", "_open", "_snapshot", "changes")

    def __init__(self, snapshot: Reader) -> None:
        self._snapshot = snapshot
        self._open = True
        self._changed: list[bytes] = []  # the changed keys, in order
        self.changes: dict[bytes, bytes | None] = {}

    def close(self) -> None:
        """Refuse all further use."""
        self._open = False

    def get(self, key: bytes) -> bytes | None:
        self._check_open()
        return self.changes[key] if key in self.changes else self._snapshot.get(key)

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._merged(
            self._snapshot.range(start, stop, reverse=reverse), start, stop, reverse
        )

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        unchanged = ((key, b"") for key in self._snapshot.keys(start, stop, reverse=reverse))
        return (key for key, _ in self._merged(unchanged, start, stop, reverse))

    def first_key(self, start: bytes, stop: bytes, *, reverse: bool = False) -> bytes | None:
        # The usual case of `keys`, without its iterators.
        self._check_open()
        changed = self._next_changed(start, stop, reverse)
        if changed is not None and self.changes[changed] is None:
            return super().first_key(start, stop, reverse=reverse)
        stored = self._snapshot.first_key(start, stop, reverse=reverse)
        if changed is None or (stored is not None and precedes(stored, changed, reverse)):
            return stored
        return changed

    def _merged(
        self, unchanged: Iterator[tuple[bytes, bytes]], start: bytes, stop: bytes, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys of a range, with the values of the changed ones.

        The changes may change between two steps. The snapshot does not.
        """
        self._check_open()
        stored = next(unchanged, None)
        while True:
            while stored is not None and stored[0] in self.changes:
                stored = next(unchanged, None)
            key = self._next_changed(start, stop, reverse)
            if stored is not None and (key is None or precedes(stored[0], key, reverse)):
                key = stored[0]
                yield stored
                self._check_open()
                stored = next(unchanged, None)
            elif key is not None:
                value = self.changes[key]
                if value is not None:
                    yield key, value
                    self._check_open()
            else:
                return
            start, stop = (start, key) if reverse else (key + b"\0", stop)

    def _next_changed(self, start: bytes, stop: bytes, reverse: bool) -> bytes | None:
        """Return the first changed key of a range, or the last one, or None."""
        if reverse:
            at = bisect_left(self._changed, stop) - 1
            return self._changed[at] if at >= 0 and self._changed[at] >= start else None
        at = bisect_left(self._changed, start)
        return self._changed[at] if at < len(self._changed) and self._changed[at] < stop else None

    def put(self, key: bytes, value: bytes) -> None:
        self._check_open()
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
        if key not in self.changes:
            insort(self._changed, key)
        self.changes[key] = value

    def _check_open(self) -> None:
        if not self._open:
            raise UsageError("the transaction is closed", advice="Read within the `with` block.")


def precedes(key: bytes, other: bytes, reverse: bool) -> bool:
    """Return True if a scan comes to `key` before `other`."""
    return key > other if reverse else key < other
