"""Values as bytes: split a value so that it shares chunks with the value before it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from langgraph.checkpoint.lmdb.codec import chunking
from langgraph.checkpoint.lmdb.codec.value_cache import CachedBytes, ends_of
from langgraph.checkpoint.lmdb.engine import chunks
from langgraph.checkpoint.lmdb.engine.chunks import (
    MIN_SHARED,
    ChunkedValue,
    InlineValue,
    NewChunk,
    ThreadVersion,
)
from langgraph.checkpoint.lmdb.format import ranges
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange
from langgraph.checkpoint.lmdb.kv.base import Reader

_SMALL_PIECE: Final = 512
"""Bytes below which a piece beside a change is split again together with it."""
_MAX_REPLACED: Final = 8
"""The replaced chunks are searched if they have less than so many times the new bytes."""
_FAR: Final = 1 << 15
"""Bytes of the shortest edit inside which unchanged chunks are searched for."""
_CANDIDATES: Final = 8
"""Chunks behind the begin of an edit that are searched for."""
_BLOCK: Final = 1 << 14
"""Bytes that are compared together."""
_EXACT: Final = 64
"""Bytes in which the first difference is found by arithmetic."""


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
    inline: InlineValue, cached: CachedBytes | None, make_chunk: Callable[[bytes], NewChunk]
) -> SplitPayload:
    """Split the payload of a value so that it shares chunks with an older value.

    The chunks before the first byte that differs, behind the last one, and between edits that are
    far apart are reused. The other bytes are split again, and their pieces are searched for among
    the chunks that they replace.

    Args:
        inline: The value.
        cached: The older value, or None.
        make_chunk: Function that returns the chunk of a piece.
    """
    head, body = chunking.split_header(inline.tag, inline.payload)
    if cached is None:
        pieces = chunking.split_pieces(head, body)
        return SplitPayload(head, body, list(map(make_chunk, pieces)), ends_of(pieces))
    items: list[ChunkRange | NewChunk] = []
    new_ends: list[int] = []
    reused = shift = 0
    for edit in _edits(cached, body):
        items += ranges.slice_ranges(cached.ranges, reused, edit.first)
        new_ends += (end + shift for end in cached.ends[reused : edit.first])
        is_element = edit.start == len(cached.body)
        pieces = chunking.split_pieces(head, body, edit.start, edit.stop, is_element=is_element)
        replaced = _replaced(cached, edit)
        items += (replaced.get(piece) or make_chunk(piece) for piece in pieces)
        new_ends += (edit.start + end for end in ends_of(pieces))
        reused, shift = edit.last, edit.stop - _start(cached.ends, edit.last)
    items += ranges.slice_ranges(cached.ranges, reused, len(cached.ends))
    new_ends += (end + shift for end in cached.ends[reused:])
    return SplitPayload(head, body, items, new_ends)


class _Edit(NamedTuple):
    """A part of an older value that other bytes replace."""

    first: int
    """The first chunk that is replaced."""
    last: int
    """The chunk behind the last one that is replaced."""
    start: int
    """The first byte of the new value that replaces them."""
    stop: int


def _edits(cached: CachedBytes, body: bytes) -> Iterator[_Edit]:
    """Yield the edits that make an older value a new one, in order."""
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
    edit = _Edit(first, last, start, stop)
    while edit.stop - edit.start >= _FAR:
        found = _find_unchanged(cached, body, edit)
        if found is None:
            break
        index, at = found
        yield _Edit(edit.first, index, edit.start, at)
        begin = _start(ends, index)
        same = common_prefix(old[begin : _start(ends, last)], body[at:stop])
        first = bisect_right(ends, begin + same)
        edit = _Edit(first, last, at + _start(ends, first) - begin, stop)
    yield edit


def _find_unchanged(cached: CachedBytes, body: bytes, edit: _Edit) -> tuple[int, int] | None:
    """Return the index of a chunk that an edit spans, and where the new value has it, or None."""
    old, ends = cached.body, cached.ends
    begin = _start(ends, edit.first)
    for index in range(edit.first + 1, min(edit.first + _CANDIDATES, edit.last - 1)):
        chunk = old[ends[index - 1] : ends[index]]
        if len(chunk) >= MIN_SHARED:
            expected = edit.start + ends[index] - begin
            at = body.find(chunk, edit.start, min(edit.stop, expected + _FAR))
            if at >= 0:
                return index, at
    return None


def _replaced(cached: CachedBytes, edit: _Edit) -> dict[bytes, ChunkRange]:
    """Return the chunks that an edit replaces, by content; none if they are too many to search."""
    old, ends = cached.body, cached.ends
    begin = _start(ends, edit.first)
    if _start(ends, edit.last) - begin >= _MAX_REPLACED * (edit.stop - edit.start):
        return {}
    found = ranges.each_chunk(ranges.slice_ranges(cached.ranges, edit.first, edit.last))
    bounds = pairwise([begin, *ends[edit.first : edit.last]])
    return {old[a:b]: chunk for (a, b), chunk in zip(bounds, found, strict=True)}


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
    same, size = 0, len(one)
    while size > _EXACT:  # comparing halves is faster than making large integers
        half = size // 2
        at = same if order == "big" else len(one) - same - half
        if one[at : at + half] == other[at : at + half]:
            same += half
            size -= half
        else:
            size = half
    at = same if order == "big" else len(one) - same - size
    different = int.from_bytes(one[at : at + size], order) ^ int.from_bytes(
        other[at : at + size], order
    )
    return same + size - (different.bit_length() + 7) // 8
