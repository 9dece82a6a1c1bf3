"""Chunk ranges: how a value names its chunks.

A chunk holds a piece of a value's bytes. It is a numbered entry of a segment, and a segment belongs
to one thread. A value is a sequence of ranges of consecutive chunks, so a value that only grew may
be one range, whatever its length.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from langgraph.checkpoint.lmdb.format.envelope import read_varint, varint

_MAX_NUMBER = (1 << 64) - 1
"""Greatest number that a key can hold."""


class ChunkRange(NamedTuple):
    """A range of `length` consecutive chunks of a segment, from number `start` on."""

    owner: int
    """Number of the thread that the segment belongs to."""
    segment: int
    start: int
    length: int


def follows(ranges: Sequence[ChunkRange], chunk_range: ChunkRange) -> bool:
    """Return True if a range begins where the last of other ranges ends."""
    if not ranges:
        return False
    last = ranges[-1]
    return (
        last.start + last.length == chunk_range.start
        and last.segment == chunk_range.segment
        and last.owner == chunk_range.owner
    )


def append_merged(ranges: list[ChunkRange], more: Iterable[ChunkRange]) -> None:
    """Append ranges; merge a range that continues the range before it."""
    for chunk_range in more:
        if follows(ranges, chunk_range):
            last = ranges[-1]
            ranges[-1] = ChunkRange(
                last.owner, last.segment, last.start, last.length + chunk_range.length
            )
        else:
            ranges.append(chunk_range)


def total(ranges: Iterable[ChunkRange]) -> int:
    """Return the number of chunks."""
    return sum(chunk_range.length for chunk_range in ranges)


def each_chunk(ranges: Iterable[ChunkRange]) -> list[ChunkRange]:
    """Return a range of length 1 for each chunk."""
    return [
        ChunkRange(chunk_range.owner, chunk_range.segment, chunk_range.start + index, 1)
        for chunk_range in ranges
        for index in range(chunk_range.length)
    ]


def iter_chunks(ranges: Iterable[ChunkRange]) -> Iterator[ChunkRange]:
    """Yield what `each_chunk` returns, one by one: a damaged range may name a million chunks."""
    for owner, segment, start, length in ranges:
        for index in range(length):
            yield ChunkRange(owner, segment, start + index, 1)


def slice_ranges(ranges: Sequence[ChunkRange], start: int, stop: int) -> list[ChunkRange]:
    """Return the ranges of the chunks at positions `start` to `stop` of the sequence."""
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
    """Return the number of chunks that two sequences have in common at their beginning."""
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
    """Encode ranges as varints.

    Per segment: owner, number, count of ranges. Per range: the signed distance from the end of the
    range before, and the length.
    """
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


def decode_ranges(data: bytes, limit: int = _MAX_NUMBER) -> list[ChunkRange]:
    """Decode what `encode_ranges` returned.

    Args:
        data: The encoding.
        limit: Chunks that the ranges may name in total.

    Raises:
        ValueError, IndexError: The encoding is invalid.
    """
    ranges: list[ChunkRange] = []
    at = named = 0
    while at < len(data):
        owner, at = read_varint(data, at)
        segment, at = read_varint(data, at)
        count, at = read_varint(data, at)
        if owner > _MAX_NUMBER or segment > _MAX_NUMBER or not count:
            raise ValueError("invalid segment number or empty range list")
        end = 0
        for _ in range(count):
            signed, at = read_varint(data, at)
            length, at = read_varint(data, at)
            start = end + (signed >> 1 if not signed & 1 else -((signed + 1) >> 1))
            if start < 0 or not length:
                raise ValueError("a range is empty or starts before its segment")
            end = start + length
            named += length
            if end > _MAX_NUMBER or named > limit:
                raise ValueError("the ranges name too many chunks")
            ranges.append(ChunkRange(owner, segment, start, length))
    return ranges


class ChunkSet:
    """A set of chunks, kept as disjoint ascending intervals per segment."""

    def __init__(self) -> None:
        self._intervals: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._sorted = True

    def add(self, ranges: Iterable[ChunkRange]) -> None:
        """Add the chunks of ranges."""
        for chunk_range in ranges:
            self._intervals.setdefault((chunk_range.owner, chunk_range.segment), []).append(
                (chunk_range.start, chunk_range.start + chunk_range.length)
            )
        self._sorted = False

    def _merge(self) -> None:
        if self._sorted:
            return
        for segment, ranges in self._intervals.items():
            merged: list[tuple[int, int]] = []
            for start, stop in sorted(set(ranges)):
                if merged and start <= merged[-1][1]:
                    merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
                else:
                    merged.append((start, stop))
            self._intervals[segment] = merged
        self._sorted = True

    def owners(self) -> set[int]:
        """Return the numbers of the threads that own chunks of the set."""
        return {owner for owner, _ in self._intervals}

    def intervals(self, owner: int, segment: int) -> list[tuple[int, int]]:
        """Return the disjoint intervals (start, stop) in one segment, ascending."""
        self._merge()
        return self._intervals.get((owner, segment), [])

    def ranges(self, owner: int | None = None) -> list[ChunkRange]:
        """Return the set as ranges, of one owner or of all."""
        self._merge()
        return [
            ChunkRange(of, segment, start, stop - start)
            for (of, segment), ranges in sorted(self._intervals.items())
            if owner is None or of == owner
            for start, stop in ranges
        ]

    def minus(self, other: ChunkSet) -> ChunkSet:
        """Return the chunks of this set that another one lacks."""
        rest = ChunkSet()
        for chunk_range in self.ranges():
            at, stop = chunk_range.start, chunk_range.start + chunk_range.length
            for low, high in other.intervals(chunk_range.owner, chunk_range.segment):
                if high <= at or low >= stop:
                    continue
                if low > at:
                    rest.add([ChunkRange(chunk_range.owner, chunk_range.segment, at, low - at)])
                at = max(at, high)
            if at < stop:
                rest.add([ChunkRange(chunk_range.owner, chunk_range.segment, at, stop - at)])
        return rest

    def __bool__(self) -> bool:
        return any(self._intervals.values())
