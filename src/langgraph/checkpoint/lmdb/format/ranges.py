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


class Run(NamedTuple):
    """`length` consecutive chunks of an arena, from `start` on."""

    owner: int
    """Number of the thread that the arena belongs to: its own, or the one it was copied from."""
    arena: int
    start: int
    length: int


def extend(runs: list[Run], more: Iterable[Run]) -> None:
    """Append runs, joining each with the one before it where they meet."""
    for run in more:
        if runs:
            last = runs[-1]
            if (
                last.start + last.length == run.start
                and last.arena == run.arena
                and last.owner == run.owner
            ):
                runs[-1] = Run(last.owner, last.arena, last.start, last.length + run.length)
                continue
        runs.append(run)


def total(runs: Iterable[Run]) -> int:
    """How many chunks they are."""
    return sum(run.length for run in runs)


def singles(runs: Iterable[Run]) -> list[Run]:
    """A run of its own for each of the chunks."""
    return [
        Run(run.owner, run.arena, run.start + index, 1)
        for run in runs
        for index in range(run.length)
    ]


def cut(runs: Sequence[Run], start: int, stop: int) -> list[Run]:
    """The runs of the chunks at positions start to stop of the sequence."""
    out: list[Run] = []
    ends = list(accumulate(run.length for run in runs))
    for index in range(bisect_right(ends, start), len(runs)):
        run = runs[index]
        first = ends[index] - run.length
        if first >= stop:
            break
        low, high = max(start, first), min(stop, ends[index])
        if low < high:
            out.append(Run(run.owner, run.arena, run.start + low - first, high - low))
    return out


def common_prefix(a: Sequence[Run], b: Sequence[Run]) -> int:
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


def encode_runs(runs: Sequence[Run]) -> bytes:
    """Runs as varints: per arena its owner, number, count of runs; per run the signed distance
    from the end of the run before, and its length."""
    out = bytearray()
    index = 0
    while index < len(runs):
        owner, arena = runs[index][:2]
        stop = index
        while stop < len(runs) and runs[stop][:2] == (owner, arena):
            stop += 1
        out += varint(owner) + varint(arena) + varint(stop - index)
        end = 0
        for run in runs[index:stop]:
            distance = run.start - end
            out += varint(distance << 1 if distance >= 0 else (-distance << 1) - 1)
            out += varint(run.length)
            end = run.start + run.length
        index = stop
    return bytes(out)


def decode_runs(data: bytes, limit: int = _MOST) -> list[Run]:
    """The runs that `encode_runs` encoded.

    Args:
        data: The encoding.
        limit: How many chunks they may name, all together.

    Raises:
        ValueError, IndexError: The data is no such encoding.
    """
    runs: list[Run] = []
    at = named = 0
    while at < len(data):
        owner, at = read_varint(data, at)
        arena, at = read_varint(data, at)
        count, at = read_varint(data, at)
        if owner > _MOST or arena > _MOST or not count:
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
            runs.append(Run(owner, arena, start, length))
    return runs


class Coverage:
    """A set of chunks, as disjoint ascending ranges per arena."""

    def __init__(self) -> None:
        self._ranges: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._sorted = True

    def add(self, runs: Iterable[Run]) -> None:
        """Put the chunks of these runs into the set."""
        for run in runs:
            self._ranges.setdefault((run.owner, run.arena), []).append(
                (run.start, run.start + run.length)
            )
        self._sorted = False

    def _settle(self) -> None:
        if self._sorted:
            return
        for arena, ranges in self._ranges.items():
            merged: list[tuple[int, int]] = []
            for start, stop in sorted(set(ranges)):
                if merged and start <= merged[-1][1]:
                    merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
                else:
                    merged.append((start, stop))
            self._ranges[arena] = merged
        self._sorted = True

    def owners(self) -> set[int]:
        """The threads whose arenas the set touches."""
        return {owner for owner, _ in self._ranges}

    def arenas(self, owner: int) -> list[int]:
        """The arenas of one owner that the set touches, ascending."""
        return sorted(arena for of, arena in self._ranges if of == owner)

    def ranges(self, owner: int, arena: int) -> list[tuple[int, int]]:
        """The disjoint ranges (start, stop) in one arena, ascending."""
        self._settle()
        return self._ranges.get((owner, arena), [])

    def runs(self, owner: int | None = None) -> list[Run]:
        """The set as runs, of one owner or of all."""
        self._settle()
        return [
            Run(of, arena, start, stop - start)
            for (of, arena), ranges in sorted(self._ranges.items())
            if owner is None or of == owner
            for start, stop in ranges
        ]

    def minus(self, other: Coverage) -> Coverage:
        """The chunks of this set that the other lacks."""
        left = Coverage()
        for run in self.runs():
            at, stop = run.start, run.start + run.length
            for low, high in other.ranges(run.owner, run.arena):
                if high <= at or low >= stop:
                    continue
                if low > at:
                    left.add([Run(run.owner, run.arena, at, low - at)])
                at = max(at, high)
            if at < stop:
                left.add([Run(run.owner, run.arena, at, stop - at)])
        return left

    def __bool__(self) -> bool:
        return any(self._ranges.values())
