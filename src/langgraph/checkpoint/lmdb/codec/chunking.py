"""Cutting payloads into parts, so that two versions of a value have most parts in common."""

from __future__ import annotations

import re
from functools import cache

import msgpack

from langgraph.checkpoint.lmdb.codec import nesting
from langgraph.checkpoint.lmdb.engine.chunks import MIN_SHARED

SMALL_PART = 512
"""A part below this many bytes is joined with the next one while they are being replaced."""

# A part ends behind a byte of the first set that a byte of the second set follows. Where that is
# depends on the bytes around it alone, so the cuts of an edited payload meet the old ones again
# soon behind the edit. The sets give about one such place in 30 to 90 bytes, in text and in noise.
_LAST = b"".join(b"\\x%02x" % b for b in range(256) if b & 0x0F == 0)
_NEXT = b"".join(b"\\x%02x" % b for b in range(256) if b & 0x03 == 1)


@cache
def _pattern(least: int) -> re.Pattern[bytes]:
    body = b".{%d,%d}?[%s](?=[%s])" % (least - 1, 4 * least - 2, _LAST, _NEXT)
    return re.compile(body + b"|.{1,%d}" % (4 * least), re.DOTALL)


def _min_chunk_size(size: int) -> int:
    """The least bytes of a part of what has `size` bytes: 1 KiB up to 4 MiB; then more, up to
    8 KiB, so that there are fewer."""
    least = 1024
    while least < 8192 and size > least << 12:
        least *= 2
    return least


def split_chunks(
    head: bytes, body: bytes, start: int = 0, stop: int | None = None, *, is_element: bool = False
) -> list[bytes]:
    """Cut the body of a value; the parts joined are the bytes.

    Args:
        head: The head of the value, see `split_header`; empty if it is not msgpack.
        body: The rest of the value.
        start: The first byte to be cut.
        stop: The byte behind the last one to be cut.
        is_element: Whether an element of the value is known to begin at `start`.
    """
    end = len(body) if stop is None else stop
    if end - start < nesting.NESTED:
        return _cut(body[start:end], len(body))
    parts: list[bytes] = []
    for stretch in nesting.stretches(head, body, start if is_element else 0, start):
        if stretch.start >= end:
            break
        piece = body[max(stretch.start, start) : min(stretch.stop, end)]
        if piece:
            parts += [piece] if stretch.whole else _cut(piece, stretch.stop - stretch.start)
    return parts


def cut_message(raw: bytes) -> list[bytes]:
    """Cut an encoded message, as it is cut wherever it is nested."""
    return [raw] if len(raw) <= nesting.LARGE else split_chunks(array_header(1), raw)


def _cut(piece: bytes, size: int) -> list[bytes]:
    """Cut bytes that belong to `size` bytes which are cut by themselves."""
    parts = _pattern(_min_chunk_size(size)).findall(piece)
    if len(parts) > 1 and len(parts[-1]) < MIN_SHARED:
        parts[-2:] = [parts[-2] + parts[-1]]
    return parts


def split_header(tag: str, payload: bytes) -> tuple[bytes, bytes]:
    """Take the length in front of a msgpack container or text off, which changes with any edit."""
    if tag != "msgpack" or not payload:
        return b"", payload
    size = nesting.HEADS.get(payload[0], 0)
    return payload[:size], payload[size:]


def elements(encoded: bytes) -> list[bytes]:
    """The elements of an encoded msgpack array.

    Raises:
        ValueError: It is not one array.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=len(encoded))
    unpacker.feed(encoded)
    try:
        count = unpacker.read_array_header()
        at = unpacker.tell()
        out: list[bytes] = []
        for _ in range(count):
            unpacker.skip()
            end = unpacker.tell()
            out.append(encoded[at:end])
            at = end
    except (msgpack.OutOfData, msgpack.FormatError, msgpack.StackError) as error:
        raise ValueError(f"not a msgpack array: {error}") from error
    if at != len(encoded):
        raise ValueError("bytes follow the msgpack array")
    return out


def array_header(count: int) -> bytes:
    """The msgpack header of an array of `count` elements."""
    head: bytes = msgpack.Packer().pack_array_header(count)
    return head


_BLOCK = 1 << 16


def common_prefix(a: bytes, b: bytes) -> int:
    """How many bytes two byte strings share from the first on."""
    limit = min(len(a), len(b))
    at = 0
    while at < limit and a[at : at + _BLOCK] == b[at : at + _BLOCK]:
        at += _BLOCK
    if at >= limit:
        return limit
    low, high = at, min(at + _BLOCK, limit)  # equal below low, not equal below high
    if a[low:high] == b[low:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


def common_suffix(a: bytes, b: bytes, limit: int) -> int:
    """How many bytes, at most `limit`, two byte strings share up to the last."""
    size_a, size_b = len(a), len(b)
    at = 0

    def same(start: int, stop: int) -> bool:
        return a[size_a - stop : size_a - start] == b[size_b - stop : size_b - start]

    while at < limit and same(at, min(at + _BLOCK, limit)):
        at += _BLOCK
    if at >= limit:
        return limit
    low, high = at, min(at + _BLOCK, limit)
    while high - low > 1:
        middle = (low + high) // 2
        if same(low, middle):
            low = middle
        else:
            high = middle
    return low
