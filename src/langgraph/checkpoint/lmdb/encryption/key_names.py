"""Keys that tell no names: their private parts encrypted, and ranges of them found again.

A private part becomes AES-SIV (RFC 5297) of itself, with what stands before it in the key as
associated data: always the same bytes for the same key, so that a record is found by its key, and
not to be told from noise by whoever lacks the secret. Its order is lost; ranges sort it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from langgraph.checkpoint.lmdb.encryption.opening import HEADER
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import keys

if TYPE_CHECKING:
    from collections.abc import Iterator

ENCRYPTED_KINDS = frozenset((b"T", b"m", b"n", b"r"))
"""Of the keys that hold names, or hashes of them."""
NEEDS_MAPPING = ENCRYPTED_KINDS | {b"\x00", b""}
"""What keys and bounds begin with that may not be stored as they are."""
_HASH_SIZE = 8
_TAG_SIZE = 16
_BLOCK = 16
_ZONES = tuple(sorted((HEADER, *ENCRYPTED_KINDS)))


def name_span(key: bytes) -> tuple[int, int | None] | None:
    """Where a key holds a name, or the hash of one: the offset, and the length if more follows."""
    letter = key[:1]
    if letter not in ENCRYPTED_KINDS:
        return None
    if letter == b"n":
        try:
            return keys.read_number(key, 1)[1], None
        except DamagedError:
            return None
    return 1, None if letter == b"T" else _HASH_SIZE


class RangePart(NamedTuple):
    """A part of a range.

    Attributes:
        start: Its lowest plain key.
        stop: The first plain key beyond it.
        low: The lowest stored key that may belong to it.
        high: The first stored key beyond those.
        head: What its plain keys begin with, in place of `stored_head`; None if they have to be
            decrypted, and sorted.
        stored_head: What its stored keys begin with.
    """

    start: bytes
    stop: bytes
    low: bytes
    high: bytes
    head: bytes | None
    stored_head: bytes


class KeyNameCipher:
    """Plain keys to stored ones, and back.

    Args:
        secret: 64 random bytes.
    """

    __slots__ = ("_siv",)

    def __init__(self, secret: bytes) -> None:
        self._siv = AESSIV(secret)

    def stored(self, key: bytes) -> bytes:
        """The key that the inner store has for a plain key; the same object if it is the same."""
        if key == HEADER:
            raise ValueError(f"the key {key!r} is the encryption's own")
        found = name_span(key)
        if found is None:
            return key
        begin, size = found
        head = key[:begin]
        if size is None:
            return head + self._siv.encrypt(_pad(key[begin:]), [head])
        end = begin + size
        if len(key) < end:
            return key
        return head + self._siv.encrypt(key[begin:end], [head]) + key[end:]

    def plain(self, stored: bytes) -> bytes:
        """The plain key of a stored one; one that nobody encrypted with this secret stays as it
        is, and no plain key leads to it but itself."""
        found = name_span(stored)
        if found is None:
            return stored
        begin, size = found
        end = len(stored) if size is None else begin + size + _TAG_SIZE
        if len(stored) < max(end, begin + _TAG_SIZE):
            return stored
        try:
            part = self._siv.decrypt(stored[begin:end], [stored[:begin]])
        except (InvalidTag, ValueError):
            return stored
        return stored[:begin] + (_unpad(part) if size is None else part) + stored[end:]

    def pieces(self, start: bytes, stop: bytes) -> Iterator[RangePart]:
        """A range of plain keys in ascending parts, each a range of stored keys."""
        for zone in _ZONES:
            if start >= stop:
                return
            if zone >= stop:
                break
            end = keys.prefix_end(zone) if zone in ENCRYPTED_KINDS else zone + b"\x00"
            if end <= start:
                continue
            if start < zone:
                yield RangePart(start, zone, start, zone, b"", b"")
                start = zone
            if zone in ENCRYPTED_KINDS:
                yield self._inside(start, min(stop, end))
            start = end
        if start < stop:
            yield RangePart(start, stop, start, stop, b"", b"")

    def _inside(self, start: bytes, stop: bytes) -> RangePart:
        """The part of a range that is within one letter."""
        found = name_span(start)
        if found is not None and found[1] is not None:
            end = found[0] + found[1]
            whole = start[:end]
            if len(start) >= end and stop <= keys.prefix_end(whole):
                stored = self.stored(whole)
                inside = stop.startswith(whole)
                high = stored + stop[end:] if inside else keys.prefix_end(stored)
                return RangePart(start, stop, stored + start[end:], high, whole, stored)
        low, high = stored_bounds(start, stop)
        return RangePart(start, stop, low, high, None, b"")


def visible_head(key: bytes) -> bytes:
    """What stands before the private part of a key, plain or stored; all of it if it has none.

    Plain keys sort by their heads first, and so do stored ones.
    """
    found = name_span(key)
    return key if found is None else key[: found[0]]


def stored_bounds(start: bytes, stop: bytes) -> tuple[bytes, bytes]:
    """A range of stored keys that has all those of a range of plain keys within one letter."""
    end = visible_head(stop)
    return visible_head(start), stop if end == stop else keys.prefix_end(end)


def _pad(text: bytes) -> bytes:
    """Make it a multiple of a block, and never empty: lengths that are near look the same."""
    return text + b"\x80" + bytes(-(len(text) + 1) % _BLOCK)


def _unpad(padded: bytes) -> bytes:
    return padded[: padded.rindex(b"\x80")]
