"""`BufferingWriter`: a write transaction that keeps its changes in memory."""

from __future__ import annotations

from bisect import insort

from langgraph.checkpoint.lmdb.kv.base import Writer, check_key


class BufferingWriter(Writer):
    """The changes of a write transaction. A subclass has the attributes, and reads through them.

    Attributes:
        changes: New value of each changed key; None: the key is deleted.
        changed: The changed keys, in order.
    """

    __slots__ = ()

    changes: dict[bytes, bytes | None]
    changed: list[bytes]

    def _check_open(self) -> None:
        """Raise UsageError if the transaction has ended."""

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
            insort(self.changed, key)
        self.changes[key] = value
