"""Values as bytes: split a value so that it shares chunks with the value before it."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from langgraph.checkpoint.lmdb.codec import chunking
from langgraph.checkpoint.lmdb.codec.value_cache import CachedBytes, ends_of
from langgraph.checkpoint.lmdb.engine import chunks
from langgraph.checkpoint.lmdb.format import ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.engine.chunks import (
        ChunkedValue,
        InlineValue,
        NewChunk,
        ThreadVersion,
    )
    from langgraph.checkpoint.lmdb.format.ranges import ChunkRange
    from langgraph.checkpoint.lmdb.kv.base import Reader

_SMALL_PIECE: Final = 512
"""Bytes below which a piece beside a change is split again together with it."""
_MAX_REPLACED: Final = 8
"""The replaced chunks are searched if they have less than so many times the new bytes."""
_BLOCK: Final = 1 << 14
"""Bytes that are compared together."""


class SplitPayload(NamedTuple):
    """A payload as a head and chunks."""

    head: bytes
    body: bytes
    items: list[ChunkRange | NewChunk]
    """Ranges of stored chunks, and new chunks."""
    ends: list[int]
    """End of each chunk in the body."""


def read(stored: ChunkedValue, thread_version: ThreadVersion, reader: Reader) -> CachedBytes:
    """Read a stored value.

    Raises:
        DamagedError: The value is damaged.
    """
    chunk_ranges = chunks.chunk_ranges(reader, stored)
    pieces = chunks.fetch(reader, chunk_ranges, stored.size)
    body = b"".join(pieces)
    chunks.check_size(stored, body)
    return CachedBytes(thread_version, stored, chunk_ranges, body, ends_of(pieces))


def split(
    value: InlineValue, cached: CachedBytes | None, make_chunk: Callable[[bytes], NewChunk]
) -> SplitPayload:
    """Split the payload of a value so that it shares chunks with an older value.

    The chunks before the first byte that differs and behind the last one are reused. The bytes
    between are split again, and their pieces are searched for among the chunks that they replace.

    Args:
        value: The value.
        cached: The older value, or None.
        make_chunk: Function that returns the chunk of a piece.
    """
    head, body = chunking.split_header(value.tag, value.payload)
    if cached is None:
        pieces = chunking.split_chunks(head, body)
        return SplitPayload(head, body, list(map(make_chunk, pieces)), ends_of(pieces))
    old, ends = cached.body, cached.ends
    first = bisect_right(ends, common_prefix(old, body))
    start = _start(ends, first)
    same_tail = common_suffix(old, body, min(len(old), len(body)) - start)
    last = len(ends)
    while last > first and len(old) - _start(ends, last - 1) <= same_tail:
        last -= 1
    stop = len(body) - (len(old) - _start(ends, last))
    if start < stop:
        while first and stop - start < _SMALL_PIECE > start - _start(ends, first - 1):
            first -= 1
            start = _start(ends, first)
    replaced: dict[bytes, ChunkRange] = {}
    if _start(ends, last) - start < _MAX_REPLACED * (stop - start):
        chunks = ranges.each_chunk(ranges.slice_ranges(cached.ranges, first, last))
        bounds = pairwise([start, *ends[first:last]])
        replaced = {old[a:b]: chunk for (a, b), chunk in zip(bounds, chunks, strict=True)}
    pieces = chunking.split_chunks(head, body, start, stop, is_element=start == len(old))
    items = [
        *ranges.slice_ranges(cached.ranges, 0, first),
        *(replaced.get(piece) or make_chunk(piece) for piece in pieces),
        *ranges.slice_ranges(cached.ranges, last, len(ends)),
    ]
    shift = len(body) - len(old)
    new_ends = [
        *ends[:first],
        *(start + end for end in ends_of(pieces)),
        *(end + shift for end in ends[last:]),
    ]
    return SplitPayload(head, body, items, new_ends)


def _start(ends: list[int], index: int) -> int:
    return ends[index - 1] if index else 0


def common_prefix(a: bytes, b: bytes) -> int:
    """Return the number of bytes that two byte strings have in common at their beginning."""
    limit = min(len(a), len(b))
    for at in range(0, limit, _BLOCK):
        end = min(at + _BLOCK, limit)
        one, other = a[at:end], b[at:end]
        if one != other:
            return at + _common_bytes(one, other, "big")
    return limit


def common_suffix(a: bytes, b: bytes, limit: int) -> int:
    """Return the number of bytes, at most `limit`, that two byte strings have in common at their
    end."""
    for at in range(0, limit, _BLOCK):
        end = min(at + _BLOCK, limit)
        one, other = a[len(a) - end : len(a) - at], b[len(b) - end : len(b) - at]
        if one != other:
            return at + _common_bytes(one, other, "little")
    return limit


def _common_bytes(one: bytes, other: bytes, order: Literal["big", "little"]) -> int:
    """Return the number of highest-order bytes that two strings of one length have in common."""
    different = int.from_bytes(one, order) ^ int.from_bytes(other, order)
    return len(one) - (different.bit_length() + 7) // 8
