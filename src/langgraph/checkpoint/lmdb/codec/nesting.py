"""Where the large elements of an encoded value are.

An element is cut into parts by itself, whatever stands around it. So its parts are the same where
it is a value of its own, where it is nested in another value, and where it is nested in a `Send`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgpack

if TYPE_CHECKING:
    from collections.abc import Iterator

NESTED: Final = 2048
"""Bytes of an element from which on it is cut by itself. Messages always are."""
LARGE: Final = 8192
"""Bytes of an encoded message from which on it is cut into several parts."""
_PIECE: Final = 1024
"""Bytes of a piece between elements from which on it begins a part."""
_DEPTH: Final = 24
"""Levels down to which elements are looked for."""
_SPARSE: Final = 256
"""Bytes that the small elements of a container have on average, at least, for it to be looked
through. Elements of long lists of numbers are not worth it."""
_PATIENCE: Final = 100
"""Small elements after which the average counts."""

HEADS: Final = dict.fromkeys(range(0x80, 0xC0), 1) | {  # fixmap, fixarray, fixstr
    0xC4: 2, 0xC5: 3, 0xC6: 5,  # bin
    0xC7: 3, 0xC8: 4, 0xC9: 6,  # ext: length and type
    0xD9: 2, 0xDA: 3, 0xDB: 5,  # str
    0xDC: 3, 0xDD: 5,  # array
    0xDE: 3, 0xDF: 5,  # map
}  # fmt: skip
"""Bytes of the length in front of a msgpack container or text, by its first byte."""
_LEAVES: Final = frozenset((*range(0xA0, 0xC0), 0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB))
"""The first bytes of texts and bytes."""
_EXTENSIONS: Final = frozenset((0xC7, 0xC8, 0xC9))
_MESSAGE: Final = b"langchain_core.messages."


class Stretch(NamedTuple):
    """Bytes of a body that are cut without a look at what is around them."""

    start: int
    stop: int
    whole: bool
    """Whether they are one part."""


def stretches(head: bytes, body: bytes, start: int = 0, since: int = 0) -> Iterator[Stretch]:
    """Yield the stretches of an encoded value, one behind the other.

    Args:
        head: The head of the value, as `split_header` makes it; empty if it is not msgpack.
        body: The rest of the value.
        start: Where to begin: the first byte of an element of the value.
        since: The first byte that matters; what is before it may be any stretches.
    """
    end = len(body)
    at = begun = start  # what is between elements begins at the one, its last piece at the other
    if head and head[0] not in _LEAVES:
        for found in _elements(body, start, end, since, _DEPTH):
            if found.start - begun >= _PIECE and at < begun:
                yield Stretch(at, begun, False)
                at = begun
            if found.whole or found.start < found.stop:
                if at < found.start:
                    yield Stretch(at, found.start, False)
                if found.start < found.stop:
                    yield found
                at = found.stop
            begun = found.stop
    if end - begun >= _PIECE and at < begun:
        yield Stretch(at, begun, False)
        at = begun
    if at < end:
        yield Stretch(at, end, False)


def _elements(body: bytes, start: int, stop: int, since: int, depth: int) -> Iterator[Stretch]:
    """Yield the large elements of what stands between two places: encoded values, one behind the
    other. An empty stretch is a place where a piece ends; if it is whole, a piece of any size."""
    unpacker = msgpack.Unpacker(max_buffer_size=stop - start)
    unpacker.feed(memoryview(body)[start:stop])
    at, small = start, 0
    while at < stop:
        try:
            unpacker.skip()
        except (msgpack.OutOfData, msgpack.FormatError, msgpack.StackError):
            return  # not msgpack
        first, end = body[at], start + unpacker.tell()
        is_message = first in _EXTENSIONS and _is_message(body, at + HEADS[first])
        if is_message or end - at >= NESTED:
            if end > since:
                yield from _within(body, at, end, since, depth, is_message)
            else:
                yield Stretch(end, end, False)
        else:
            small += 1
            if small > _PATIENCE and small * _SPARSE > end - start:
                return
        at = end


def _within(
    body: bytes, at: int, end: int, since: int, depth: int, is_message: bool
) -> Iterator[Stretch]:
    """Yield the stretches of one element."""
    first = body[at]
    inside = at + HEADS.get(first, 0)
    if is_message:
        if end - at <= LARGE:
            yield Stretch(at, end, True)
            return
        yield Stretch(at, at, True)
    else:
        yield Stretch(inside, inside, False)
    if first in _LEAVES:
        yield Stretch(inside, end, False)
    elif depth:
        yield from _elements(body, inside, end, since, depth - 1)
    yield Stretch(end, end, is_message)


def _is_message(body: bytes, inside: int) -> bool:
    """Whether the content of an extension type is a message: a model's module, class and so on."""
    return body.startswith(_MESSAGE, inside + 2) or body.startswith(_MESSAGE, inside + 3)
