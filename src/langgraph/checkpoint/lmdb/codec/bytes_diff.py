"""Values as bytes: cutting a payload against the version before it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.codec import chunking
from langgraph.checkpoint.lmdb.codec.value_cache import ends_of
from langgraph.checkpoint.lmdb.format import ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.codec.value_cache import CachedBytes
    from langgraph.checkpoint.lmdb.engine.chunks import NewChunk
    from langgraph.checkpoint.lmdb.format.ranges import ChunkRange


@dataclass(slots=True)
class Cut:
    """A body in parts."""

    items: list[ChunkRange | NewChunk]
    """Where the parts are stored, or what they are; runs may be of several parts."""
    ends: list[int]
    """Where each part ends in the body."""


def chunk_bytes(head: bytes, body: bytes, make_chunk: Callable[[bytes], NewChunk]) -> Cut:
    """Cut the body of a payload."""
    parts = chunking.split_chunks(head, body)
    return Cut(list(map(make_chunk, parts)), ends_of(parts))


def diff_chunks(
    cached: CachedBytes, head: bytes, body: bytes, make_chunk: Callable[[bytes], NewChunk]
) -> Cut:
    """Cut a payload's body so that it shares what it can with an older one.

    The parts in front of the first byte that differs and behind the last are taken over as they
    are; what lies between is cut anew, and its parts are looked for among those that it replaces.

    Args:
        layout: The older body.
        head: What stands before the new one.
        body: The new one.
        make: Makes a part of bytes.
    """
    old, ends = cached.body, cached.ends
    first = bisect_right(ends, chunking.common_prefix(old, body))
    start = _start(ends, first)
    same_tail = chunking.common_suffix(old, body, min(len(old), len(body)) - start)
    last = len(ends)
    while last > first and len(old) - _start(ends, last - 1) <= same_tail:
        last -= 1
    stop = len(body) - (len(old) - _start(ends, last))
    if start < stop:
        # Small parts do not pay: those beside the change are cut anew with it.
        while first and stop - start < chunking.SMALL_PART > start - _start(ends, first - 1):
            first -= 1
            start = _start(ends, first)
    replaced: dict[bytes, ChunkRange] = {}
    if _start(ends, last) - start < _WORTH_A_LOOK * (stop - start):
        where = ranges.each_chunk(ranges.slice_ranges(cached.ranges, first, last))
        edges = [start, *ends[first:last]]
        replaced = {
            old[a:b]: chunk_range
            for (a, b), chunk_range in zip(pairwise(edges), where, strict=True)
        }
    parts = chunking.split_chunks(head, body, start, stop, is_element=start == len(old))
    middle = [replaced.get(part) or make_chunk(part) for part in parts]
    shift = len(body) - len(old)
    items: list[ChunkRange | NewChunk] = [
        *ranges.slice_ranges(cached.ranges, 0, first),
        *middle,
        *ranges.slice_ranges(cached.ranges, last, len(ends)),
    ]
    new_ends = [
        *ends[:first],
        *(start + end for end in ends_of(parts)),
        *(end + shift for end in ends[last:]),
    ]
    return Cut(items, new_ends)


_WORTH_A_LOOK = 8
"""How many times as much as is new may be replaced for its parts to be looked through."""


def _start(ends: list[int], index: int) -> int:
    return ends[index - 1] if index else 0
