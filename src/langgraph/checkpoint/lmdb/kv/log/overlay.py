"""The changes of one epoch in memory, in order of keys, each with the number of its record."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from langgraph.checkpoint.lmdb.kv.locks import Lock
from langgraph.checkpoint.lmdb.kv.log.records import Changes

_STEP: Final = 32  # keys of a range that are looked up at a time


class Overlay:
    """Changed keys with all their values, so that a reader sees those up to a record.

    Values are only added. One thread adds at a time, beside any number of readers.
    """

    __slots__ = ("_keys", "_lock", "_values")

    def __init__(self) -> None:
        self._lock = Lock()
        self._keys: list[bytes] = []
        """The changed keys in order."""
        self._values: dict[bytes, list[tuple[int, bytes | None]]] = {}
        """The values of each key with the numbers of their records, ascending."""

    def __len__(self) -> int:
        """Return the number of changed keys."""
        return len(self._keys)

    def add(self, number: int, changes: Changes) -> None:
        """Add the changes of a record. After an interrupt, the call is repeated."""
        for key, value in changes.items():
            values = self._values.get(key)
            if values is None:
                self._add_key(key)
                self._values[key] = [(number, value)]
            else:
                values.append((number, value))

    def _add_key(self, key: bytes) -> None:
        with self._lock:
            at = bisect_left(self._keys, key)
            if at == len(self._keys) or self._keys[at] != key:
                self._keys.insert(at, key)

    def find(self, key: bytes, limit: int) -> tuple[bytes | None] | None:
        """Return the value of a key as of a record, in a tuple. None: the key is unchanged."""
        for number, value in reversed(self._values.get(key, ())):
            if number <= limit:
                return (value,)
        return None

    def first_key(self, start: bytes, stop: bytes, *, reverse: bool) -> bytes | None:
        """Return the first key of a range that any record changes, or the last one, or None."""
        self._lock.check_free()
        with self._lock:
            if reverse:
                at = bisect_left(self._keys, stop) - 1
                return self._keys[at] if at >= 0 and self._keys[at] >= start else None
            at = bisect_left(self._keys, start)
            return self._keys[at] if at < len(self._keys) and self._keys[at] < stop else None

    def range(
        self, start: bytes, stop: bytes, limit: int, *, reverse: bool
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield the keys of a range that are changed as of a record, each with its value."""
        while keys := self._some_keys(start, stop, reverse=reverse):
            for key in keys:
                found = self.find(key, limit)
                if found is not None:
                    yield key, found[0]
            start, stop = (start, keys[-1]) if reverse else (keys[-1] + b"\0", stop)

    def _some_keys(self, start: bytes, stop: bytes, *, reverse: bool) -> list[bytes]:
        """Return the first keys of a range, or the last ones, which come first."""
        self._lock.check_free()
        with self._lock:
            first, end = bisect_left(self._keys, start), bisect_left(self._keys, stop)
            if reverse:
                return self._keys[max(first, end - _STEP) : end][::-1]
            return self._keys[first : min(end, first + _STEP)]

    def latest(self) -> dict[bytes, bytes | None]:
        """Return the last value of each changed key."""
        return {key: values[-1][1] for key, values in self._values.items()}
