"""Encryption of the names in keys, and ranges over the encrypted keys.

The name in a key is encrypted with AES-SIV (RFC 5297). The associated data is the part of the key
before the name. The result is deterministic, so a record is found by its key, and without the
secret it looks like random bytes. Encrypted names do not sort like plain names: ranges decrypt
and sort them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from langgraph.checkpoint.lmdb.encryption.key_source import HEADER
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.format.keys import Kind

_NAMED = (Kind.THREAD_ID, Kind.THREAD_TERM, Kind.NAMESPACE, Kind.TERM)
ENCRYPTED_KINDS = frozenset((*_NAMED, *(Kind.SNAPSHOTS + kind for kind in _NAMED)))
"""Kinds of keys that hold a name or the hash of a name."""
NEEDS_MAPPING = ENCRYPTED_KINDS | {b"\x00", b""}
"""Kinds of the keys and bounds that may differ from the stored ones."""
_HASH_SIZE = 8
_TAG_SIZE = 16
_BLOCK = 16
_ZONES = tuple(sorted((HEADER, *ENCRYPTED_KINDS)))
"""Prefixes that split a range of plain keys into parts."""


class RangePart(NamedTuple):
    """A part of a range of plain keys, as a range of stored keys.

    Attributes:
        start: First plain key.
        stop: First plain key after the part.
        low: First stored key that may belong to the part.
        high: First stored key after the stored keys of the part.
        prefix: Prefix of the plain keys, which replaces `stored_prefix`. None if the stored keys
            must be decrypted and sorted.
        stored_prefix: Prefix of the stored keys.
    """

    start: bytes
    stop: bytes
    low: bytes
    high: bytes
    prefix: bytes | None
    stored_prefix: bytes


class KeyNameCipher:
    """A cipher for the names in keys.

    Args:
        secret: 64 random bytes.
    """

    __slots__ = ("_siv",)

    def __init__(self, secret: bytes) -> None:
        self._siv = AESSIV(secret)

    def stored(self, key: bytes) -> bytes:
        """Return the stored key of a plain key: the same object if the key holds no name."""
        if key == HEADER:
            raise ValueError(f"key must be outside of the encryption's own keys, got {key!r}")
        span = name_span(key)
        if span is None:
            return key
        begin, size = span
        prefix = key[:begin]
        if size is None:
            return prefix + self._siv.encrypt(_pad(key[begin:]), [prefix])
        end = begin + size
        if len(key) < end:
            return key
        return prefix + self._siv.encrypt(key[begin:end], [prefix]) + key[end:]

    def plain(self, stored: bytes) -> bytes:
        """Return the plain key of a stored key.

        A stored key that was not encrypted with this secret is returned as it is. It is not the
        stored key of any plain key.
        """
        span = name_span(stored)
        if span is None:
            return stored
        begin, size = span
        end = len(stored) if size is None else begin + size + _TAG_SIZE
        if len(stored) < max(end, begin + _TAG_SIZE):
            return stored
        try:
            name = self._siv.decrypt(stored[begin:end], [stored[:begin]])
        except (InvalidTag, ValueError):
            return stored
        return stored[:begin] + (_unpad(name) if size is None else name) + stored[end:]

    def split_range(self, start: bytes, stop: bytes) -> Iterator[RangePart]:
        """Split a range of plain keys into ascending parts, each of which is a stored range."""
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
                yield self._part_of_kind(start, min(stop, end))
            start = end
        if start < stop:
            yield RangePart(start, stop, start, stop, b"", b"")

    def _part_of_kind(self, start: bytes, stop: bytes) -> RangePart:
        """Return the part for a range whose keys are all of one kind."""
        span = name_span(start)
        if span is not None and span[1] is not None:
            end = span[0] + span[1]
            prefix = start[:end]
            if len(start) >= end and stop <= keys.prefix_end(prefix):
                stored = self.stored(prefix)
                inside = stop.startswith(prefix)
                high = stored + stop[end:] if inside else keys.prefix_end(stored)
                return RangePart(start, stop, stored + start[end:], high, prefix, stored)
        low, high = stored_bounds(start, stop)
        return RangePart(start, stop, low, high, None, b"")


def stored_bounds(start: bytes, stop: bytes) -> tuple[bytes, bytes]:
    """Return the range of stored keys that covers a range of plain keys of one kind."""
    prefix = visible_prefix(stop)
    return visible_prefix(start), stop if prefix == stop else keys.prefix_end(prefix)


def visible_prefix(key: bytes) -> bytes:
    """Return the part of a plain or stored key before the name: the whole key without a name.

    Plain keys and stored keys both sort by this prefix first.
    """
    span = name_span(key)
    return key if span is None else key[: span[0]]


def kind_of(key: bytes) -> bytes:
    """Return the kind of a key or bound: its first byte, or two in the snapshot store."""
    kind = key[:1]
    return key[:2] if kind == Kind.SNAPSHOTS else kind


def name_span(key: bytes) -> tuple[int, int | None] | None:
    """Return the offset and the size of the name in a key, or None if the key holds no name.

    A size of None: the name extends to the end of the key.
    """
    kind = kind_of(key)
    if kind not in ENCRYPTED_KINDS:
        return None
    at = len(kind)
    if kind.endswith(Kind.NAMESPACE):
        try:
            return keys.read_number(key, at)[1], None
        except DamagedError:
            return None
    return at, None if kind.endswith(Kind.THREAD_ID) else _HASH_SIZE


def _pad(name: bytes) -> bytes:
    """Return the name, padded so that names of similar lengths have the same length."""
    return name + b"\x80" + bytes(-(len(name) + 1) % _BLOCK)


def _unpad(padded: bytes) -> bytes:
    return padded[: padded.rindex(b"\x80")]
