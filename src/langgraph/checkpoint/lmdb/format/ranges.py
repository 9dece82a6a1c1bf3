"""Runs: how a value names the chunks that it consists of.

A chunk is a piece of some value's bytes. It lives in an arena, a numbered log of one thread, and
its place there never changes. A value is a sequence of runs of consecutive chunks, so a list that
only grew is one run, whatever its length.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from langgraph.checkpoint.lmdb.format.envelope import read_varint, varint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_MOST = (1 << 64) - 1
"""No number in a key is greater."""


class ChunkRange(NamedTuple):
    """`length` consecutive chunks of an arena, from `start` on."""

    owner: int
    """Number of the thread that the arena belongs to: its own, or the one it was copied from."""
    segment: int
    start: int
    length: int


def follows(ranges: Sequence[ChunkRange], chunk_range: ChunkRange) -> bool:
    """Whether a run begins where the last of others ends."""
    if not ranges:
        return False
    last = ranges[-1]
    return (
        last.start + last.length == chunk_range.start
        and last.segment == chunk_range.segment
        and last.owner == chunk_range.owner
    )


def append_merged(ranges: list[ChunkRange], more: Iterable[ChunkRange]) -> None:
    """Append runs, joining each with the one before it where they meet."""
    for chunk_range in more:
        if follows(ranges, chunk_range):
            last = ranges[-1]
            ranges[-1] = ChunkRange(
                last.owner, last.segment, last.start, last.length + chunk_range.length
            )
        else:
            ranges.append(chunk_range)


def total(ranges: Iterable[ChunkRange]) -> int:
    """How many chunks they are."""
    return sum(chunk_range.length for chunk_range in ranges)


def each_chunk(ranges: Iterable[ChunkRange]) -> list[ChunkRange]:
    """A run of its own for each of the chunks."""
    return [
        ChunkRange(chunk_range.owner, chunk_range.segment, chunk_range.start + index, 1)
        for chunk_range in ranges
        for index in range(chunk_range.length)
    ]


def slice_ranges(ranges: Sequence[ChunkRange], start: int, stop: int) -> list[ChunkRange]:
    """The runs of the chunks at positions start to stop of the sequence."""
    out: list[ChunkRange] = []
    ends = list(accumulate(chunk_range.length for chunk_range in ranges))
    for index in range(bisect_right(ends, start), len(ranges)):
        chunk_range = ranges[index]
        first = ends[index] - chunk_range.length
        if first >= stop:
            break
        low, high = max(start, first), min(stop, ends[index])
        if low < high:
            out.append(
                ChunkRange(
                    chunk_range.owner,
                    chunk_range.segment,
                    chunk_range.start + low - first,
                    high - low,
                )
            )
    return out


def common_prefix(a: Sequence[ChunkRange], b: Sequence[ChunkRange]) -> int:
    """How many chunks two sequences share from the first on."""
    shared = 0
    for one, other in zip(a, b, strict=False):
        if one == other:
            shared += one.length
            continue
        if one[:3] == other[:3]:
            shared += min(one.length, other.length)
        break
    return shared


def encode_ranges(ranges: Sequence[ChunkRange]) -> bytes:
    """Runs as varints: per arena its owner, number, count of runs; per run the signed distance
    from the end of the run before, and its length."""
    out = bytearray()
    index = 0
    while index < len(ranges):
        owner, segment = ranges[index][:2]
        stop = index
        while stop < len(ranges) and ranges[stop][:2] == (owner, segment):
            stop += 1
        out += varint(owner) + varint(segment) + varint(stop - index)
        end = 0
        for chunk_range in ranges[index:stop]:
            distance = chunk_range.start - end
            out += varint(distance << 1 if distance >= 0 else (-distance << 1) - 1)
            out += varint(chunk_range.length)
            end = chunk_range.start + chunk_range.length
        index = stop
    return bytes(out)


def decode_ranges(data: bytes, limit: int = _MOST) -> list[ChunkRange]:
    """The runs that `encode_ranges` encoded.

    Args:
        data: The encoding.
        limit: How many chunks they may name, all together.

    Raises:
        ValueError, IndexError: The data is no such encoding.
    """
    ranges: list[ChunkRange] = []
    at = named = 0
    while at < len(data):
        owner, at = read_varint(data, at)
        segment, at = read_varint(data, at)
        count, at = read_varint(data, at)
        if owner > _MOST or segment > _MOST or not count:
            raise ValueError("an arena that there cannot be, or no runs in it")
        end = 0
        for _ in range(count):
            signed, at = read_varint(data, at)
            length, at = read_varint(data, at)
            start = end + (signed >> 1 if not signed & 1 else -((signed + 1) >> 1))
            if start < 0 or not length:
                raise ValueError("a run that is empty or starts before its arena")
            end = start + length
            named += length
            if end > _MOST or named > limit:
                raise ValueError("runs of more chunks than there can be")
            ranges.append(ChunkRange(owner, segment, start, length))
    return ranges


class ChunkSet:
    """A set of chunks, as disjoint ascending ranges per arena."""

    def __init__(self) -> None:
        self._ranges: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._sorted = True

    def add(self, ranges: Iterable[ChunkRange]) -> None:
        """Put the chunks of these runs into the set."""
        for chunk_range in ranges:
            self._ranges.setdefault((chunk_range.owner, chunk_range.segment), []).append(
                (chunk_range.start, chunk_range.start + chunk_range.length)
            )
        self._sorted = False

    def _settle(self) -> None:
        if self._sorted:
            return
        for segment, ranges in self._ranges.items():
            merged: list[tuple[int, int]] = []
            for start, stop in sorted(set(ranges)):
                if merged and start <= merged[-1][1]:
                    merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
                else:
                    merged.append((start, stop))
            self._ranges[segment] = merged
        self._sorted = True

    def owners(self) -> set[int]:
        """The threads whose arenas the set touches."""
        return {owner for owner, _ in self._ranges}

    def segments(self, owner: int) -> list[int]:
        """The arenas of one owner that the set touches, ascending."""
        return sorted(segment for of, segment in self._ranges if of == owner)

    def intervals(self, owner: int, segment: int) -> list[tuple[int, int]]:
        """The disjoint ranges (start, stop) in one arena, ascending."""
        self._settle()
        return self._ranges.get((owner, segment), [])

    def ranges(self, owner: int | None = None) -> list[ChunkRange]:
        """The set as runs, of one owner or of all."""
        self._settle()
        return [
            ChunkRange(of, segment, start, stop - start)
            for (of, segment), ranges in sorted(self._ranges.items())
            if owner is None or of == owner
            for start, stop in ranges
        ]

    def minus(self, other: ChunkSet) -> ChunkSet:
        """The chunks of this set that the other lacks."""
        left = ChunkSet()
        for chunk_range in self.ranges():
            at, stop = chunk_range.start, chunk_range.start + chunk_range.length
            for low, high in other.intervals(chunk_range.owner, chunk_range.segment):
                if high <= at or low >= stop:
                    continue
                if low > at:
                    left.add([ChunkRange(chunk_range.owner, chunk_range.segment, at, low - at)])
                at = max(at, high)
            if at < stop:
                left.add([ChunkRange(chunk_range.owner, chunk_range.segment, at, stop - at)])
        return left

    def __bool__(self) -> bool:
        return any(self._ranges.values())
