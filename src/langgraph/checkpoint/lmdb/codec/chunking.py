"""Content-defined chunking: split values so that two versions have most chunks in common.

An element of a msgpack value is split independently of what is around it. So its chunks are the
same where it is a value of its own, inside another value, and inside a `Send`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

import msgpack

from langgraph.checkpoint.lmdb.engine.chunks import MIN_SHARED

MIN_ELEMENT: Final = 2048
"""Bytes of the smallest element that is split independently. Messages always are."""
MAX_MESSAGE_CHUNK: Final = 8192
"""Bytes of the largest encoded message that is one chunk."""
_MIN_GAP: Final = 1024
"""Bytes between two elements from which on they begin a chunk."""
_LONG: Final = 3 << 15
"""Bytes of the shortest section whose pieces are joined. New content that is long is stored faster,
and in fewer bytes, as few large chunks. An edit splits the chunks that it changes."""
_LONG_TEXT: Final = 1 << 14
"""The same for one text or byte string. It begins with the same piece inside any value, so that
joining its pieces costs nothing there."""
_JOINED: Final = 8
"""Pieces of a joined chunk, on average."""
_MAX_JOINED: Final = 14
"""Pieces of the largest joined chunk, which has less than 60,000 bytes."""
_MAX_DEPTH: Final = 24
"""Levels of nested containers that are searched for elements."""
_SAMPLE: Final = 100
_MIN_AVERAGE: Final = 256
"""Bytes that the small elements of a container have on average, after the first `_SAMPLE`. Below
that the search ends: the elements of a long list of numbers share nothing."""

# A piece ends at a byte of the first set that a byte of the second set follows. Only the bytes near
# it decide that, so behind an edit the boundaries soon are the same as before. Text and noise have
# a boundary every 30 to 90 bytes.
_LAST = b"".join(b"\\x%02x" % b for b in range(256) if b & 0x0F == 0)
_NEXT = b"".join(b"\\x%02x" % b for b in range(256) if b & 0x03 == 1)
_PIECE: Final = re.compile(
    b".{1023,4094}?[%s](?=[%s])|.{1,4096}" % (_LAST, _NEXT),
    re.DOTALL,
)
"""A piece, of 1 to 4 KiB."""

HEAD_SIZES: Final = dict.fromkeys(range(0x80, 0xC0), 1) | {  # fixmap, fixarray, fixstr
    0xC4: 2, 0xC5: 3, 0xC6: 5,  # bin
    0xC7: 3, 0xC8: 4, 0xC9: 6,  # ext: length and type
    0xD9: 2, 0xDA: 3, 0xDB: 5,  # str
    0xDC: 3, 0xDD: 5,  # array
    0xDE: 3, 0xDF: 5,  # map
}  # fmt: skip
"""Bytes of the length that begins a msgpack container or text, by its first byte."""
_LEAVES: Final = frozenset((*range(0xA0, 0xC0), 0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB))
"""First bytes of texts and byte strings."""
_EXTENSIONS: Final = frozenset((0xC7, 0xC8, 0xC9))
_MESSAGE: Final = b"langchain_core.messages."


def split_header(tag: str, payload: bytes) -> tuple[bytes, bytes]:
    """Split off the length that begins a msgpack container or text: any edit may change it.

    The head is empty if the payload is not msgpack.
    """
    if tag != "msgpack" or not payload:
        return b"", payload
    size = HEAD_SIZES.get(payload[0], 0)
    return payload[:size], payload[size:]


def split_pieces(
    head: bytes, body: bytes, start: int = 0, stop: int | None = None, *, is_element: bool = False
) -> list[bytes]:
    """Split a value into pieces, which joined are the bytes from `start` to `stop`.

    Args:
        head: The head of the value, as `split_header` returns it.
        body: The rest of the value.
        start: The first byte to split.
        stop: The byte behind the last one to split. None: the end of the body.
        is_element: True if an element of the value begins at `start`.
    """
    end = len(body) if stop is None else stop
    if end - start < MIN_ELEMENT:
        return _split(body[start:end], is_text=False)
    pieces: list[bytes] = []
    for section in _sections(head, body, start if is_element else 0, start):
        if section.start >= end:
            break
        part = body[max(section.start, start) : min(section.stop, end)]
        if part:
            pieces += [part] if section.whole else _split(part, section.is_text)
    return pieces


def split_message(raw: bytes) -> list[bytes]:
    """Split an encoded message as it is split inside any value."""
    return [raw] if len(raw) <= MAX_MESSAGE_CHUNK else split_pieces(array_header(1), raw)


def _split(part: bytes, is_text: bool) -> list[bytes]:
    """Split bytes of one section."""
    pieces = _PIECE.findall(part)
    if len(pieces) > 1 and len(pieces[-1]) < MIN_SHARED:
        pieces[-2:] = [pieces[-2] + pieces[-1]]
    is_long = len(part) >= (_LONG_TEXT if is_text else _LONG)
    return [*_joined(pieces)] if is_long else pieces


def _joined(pieces: list[bytes]) -> Iterator[bytes]:
    """Join adjacent pieces. A piece ends a chunk by its own content, wherever it is."""
    start = 0
    for index, piece in enumerate(pieces, 1):
        if crc32(piece) % _JOINED == 0 or index - start == _MAX_JOINED:
            yield b"".join(pieces[start:index])
            start = index
    if start < len(pieces):
        yield b"".join(pieces[start:])


class _Section(NamedTuple):
    """Bytes of a body that are split independently of what is around them."""

    start: int
    stop: int
    whole: bool
    """True if they are one chunk."""
    is_text: bool = False
    """True if they belong to one text or byte string."""


def _sections(head: bytes, body: bytes, start: int, since: int) -> Iterator[_Section]:
    """Yield the sections of an encoded value, in order.

    Args:
        head: The head of the value.
        body: The rest of the value.
        start: Where to begin: the first byte of an element of the value.
        since: The first byte that matters; the bytes before it may be in any sections.
    """
    end = len(body)
    at = gap = start  # begin of the bytes not yielded yet, and of the bytes behind the last element
    if not head or head[0] in _LEAVES:
        yield _Section(start, end, False, is_text=True)
        return
    for found in _elements(body, start, end, since, _MAX_DEPTH):
        if found.start - gap >= _MIN_GAP and at < gap:
            yield _Section(at, gap, False)
            at = gap
        if found.whole or found.start < found.stop:
            if at < found.start:
                yield _Section(at, found.start, False)
            if found.start < found.stop:
                yield found
            at = found.stop
        gap = found.stop
    if end - gap >= _MIN_GAP and at < gap:
        yield _Section(at, gap, False)
        at = gap
    if at < end:
        yield _Section(at, end, False)


def _elements(body: bytes, start: int, stop: int, since: int, depth: int) -> Iterator[_Section]:
    """Yield the large elements among the encoded values between two offsets.

    An empty section is the end of a gap. A whole empty section ends the section before it, too.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=stop - start)
    unpacker.feed(memoryview(body)[start:stop])
    at, small = start, 0
    while at < stop:
        try:
            unpacker.skip()
        except (msgpack.OutOfData, msgpack.FormatError, msgpack.StackError):
            return  # not msgpack
        first, end = body[at], start + unpacker.tell()
        is_message = first in _EXTENSIONS and _is_message(body, at + HEAD_SIZES[first])
        if is_message or end - at >= MIN_ELEMENT:
            if end > since:
                yield from _sections_of_element(body, at, end, since, depth, is_message)
            else:
                yield _Section(end, end, False)
        else:
            small += 1
            if small > _SAMPLE and small * _MIN_AVERAGE > end - start:
                return
        at = end


def _sections_of_element(
    body: bytes, at: int, end: int, since: int, depth: int, is_message: bool
) -> Iterator[_Section]:
    first = body[at]
    inside = at + HEAD_SIZES.get(first, 0)
    if is_message:
        if end - at <= MAX_MESSAGE_CHUNK:
            yield _Section(at, end, True)
            return
        yield _Section(at, at, True)
    else:
        yield _Section(inside, inside, False)
    if first in _LEAVES:
        yield _Section(inside, end, False, is_text=True)
    elif depth:
        yield from _elements(body, inside, end, since, depth - 1)
    yield _Section(end, end, is_message)


def _is_message(body: bytes, inside: int) -> bool:
    """Return True if the content of an extension type is a message, which begins with a module."""
    return body.startswith(_MESSAGE, inside + 2) or body.startswith(_MESSAGE, inside + 3)


def elements(encoded: bytes) -> list[bytes]:
    """Return the encoded elements of an encoded msgpack array.

    Raises:
        ValueError: The bytes are not one array.
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
    """Return the msgpack header of an array of `count` elements."""
    header: bytes = msgpack.Packer().pack_array_header(count)
    return header
