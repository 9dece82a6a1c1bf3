"""The part of a store that a transaction knows: some ranges of keys, in full."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final, NamedTuple

LARGE: Final = 4096
"""Bytes of a value that is large."""


class UnknownError(Exception):
    """The answer lies outside of what is known.

    Attributes:
        at: Where the unknown part begins, in the direction of the read.
    """

    def __init__(self, at: bytes) -> None:
        super().__init__()
        self.at = at


class Unread(NamedTuple):
    """In place of a value: the store has the key, and its value was not read."""

    size: int
    """Bytes of the value."""


class Known:
    """Keys and values of a store, and the ranges in which there are no others."""

    __slots__ = ("_ends", "_keys", "_large", "_starts", "_values", "changes")

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._values: dict[bytes, bytes | Unread] = {}
        self._large: set[bytes] = set()
        """Keys that were given a large value."""
        self._starts: list[bytes] = []
        """Starts of the known ranges, which do not overlap, in order."""
        self._ends: list[bytes] = []
        self.changes = 0
        """Number of keys that were added or removed."""

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: bytes) -> bytes | Unread | None:
        """Return the value of a key, or None if the store lacks it.

        Raises:
            UnknownError: The key is outside of the known ranges.
        """
        value = self._values.get(key)
        if value is None and not self._is_known(key):
            raise UnknownError(key)
        return value

    def following(self, start: bytes, stop: bytes) -> bytes | None:
        """Return the first key of a range, or None.

        Raises:
            UnknownError: The keys before it are not known.
        """
        at = bisect_right(self._starts, start) - 1
        if at < 0 or self._ends[at] <= start:
            raise UnknownError(start)
        end = self._ends[at]
        place = bisect_left(self._keys, start)
        if place < len(self._keys) and self._keys[place] < min(end, stop):
            return self._keys[place]
        if end < stop:
            raise UnknownError(end)
        return None

    def preceding(self, start: bytes, stop: bytes) -> bytes | None:
        """Return the last key of a range, or None.

        Raises:
            UnknownError: The keys behind it are not known.
        """
        at = bisect_left(self._starts, stop) - 1
        if at < 0 or self._ends[at] < stop:
            raise UnknownError(stop)
        begin = self._starts[at]
        place = bisect_left(self._keys, stop) - 1
        if place >= 0 and self._keys[place] >= max(begin, start):
            return self._keys[place]
        if begin > start:
            raise UnknownError(begin)
        return None

    def add(self, key: bytes, value: bytes | Unread) -> None:
        """Add what the store has, unless the key is known already."""
        found = self._values.get(key)
        if isinstance(found, Unread) or (found is None and not self._is_known(key)):
            self._set(key, value)

    def put(self, key: bytes, value: bytes) -> None:
        """Change a value."""
        self._set(key, value)
        if not self._is_known(key):
            self.cover(key, key + b"\x00")

    def remove(self, key: bytes) -> None:
        """Remove a key."""
        if self._values.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]
            self.changes += 1
        self.cover(key, key + b"\x00")

    def cover(self, start: bytes, stop: bytes) -> None:
        """Note that all keys of a range are known."""
        if start >= stop:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [stop]

    def has_values(self, start: bytes, stop: bytes) -> bool:
        """Return whether the keys of a range and their values are known."""
        return self._covers(start, stop) and not any(
            isinstance(self._values[key], Unread) for key in self._slice(start, stop)
        )

    def rows(self, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:
        """Return the rows of a range that `has_values`."""
        return [(key, self._values[key]) for key in self._slice(start, stop)]  # type: ignore[misc]

    def size(self, start: bytes, stop: bytes) -> int | None:
        """Return the bytes of the keys and values of a range, or None if they are not known."""
        if not self._covers(start, stop):
            return None
        total = 0
        for key in self._slice(start, stop):
            value = self._values[key]
            total += len(key) + (value.size if isinstance(value, Unread) else len(value))
        return total

    def _slice(self, start: bytes, stop: bytes) -> list[bytes]:
        return self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, stop)]

    def _covers(self, start: bytes, stop: bytes) -> bool:
        at = bisect_right(self._starts, start) - 1
        return start >= stop or (at >= 0 and self._ends[at] >= stop)

    def ranges(self) -> list[tuple[bytes, bytes]]:
        """Return the known ranges, in order."""
        return [*zip(self._starts, self._ends, strict=True)]

    def forget_large_values(self) -> None:
        """Forget the values of at least `LARGE` bytes."""
        while self._large:
            key = self._large.pop()
            value = self._values.get(key)
            if isinstance(value, bytes) and len(value) >= LARGE:
                self._values[key] = Unread(len(value))

    def _set(self, key: bytes, value: bytes | Unread) -> None:
        if key not in self._values:
            place = bisect_left(self._keys, key)
            self._keys.insert(place, key)
            self.changes += 1
        self._values[key] = value
        if len(value) >= LARGE:
            self._large.add(key)

    def _is_known(self, key: bytes) -> bool:
        at = bisect_right(self._starts, key) - 1
        return at >= 0 and key < self._ends[at]
