"""How numbers, texts and ranges are encoded, written from docs/design/FORMAT.md alone."""

from __future__ import annotations

from hashlib import blake2b

TEXT_LIMIT = 180
Ranges = list[tuple[int, int, int, int]]
"""Owner, segment, first seq and number of chunks of each range."""


class UnreadableError(Exception):
    """The store differs from FORMAT.md."""


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """Decode a number; also return the offset behind it."""
    size = max(0, data[at] - 239)
    if not size:
        return data[at], at + 1
    return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


def encode_number(value: int) -> bytes:
    """Encode a number."""
    if value < 240:
        return bytes((value,))
    size = (value.bit_length() + 7) // 8
    return bytes((239 + size,)) + value.to_bytes(size, "big")


def utf8(value: str) -> bytes:
    """Encode a text as utf8."""
    return value.encode("utf-8", "surrogatepass")


def text(value: str) -> bytes:
    """Encode an id at the end of a key."""
    raw = utf8(value)
    if len(raw) <= TEXT_LIMIT:
        return raw
    return raw[:TEXT_LIMIT] + b"\xff" + blake2b(raw, digest_size=16).digest()


def escaped_text(value: str) -> bytes:
    """Encode an id that other fields of a key follow."""
    part = text(value).replace(b"\x00", b"\x00\xff")
    if len(part) > 240:
        digest = blake2b(utf8(value), digest_size=16).digest()
        part = b"\xff" + digest.replace(b"\x00", b"\x00\xff")
    return part + b"\x00\x01"


def sortable_text(value: str) -> bytes:
    """Encode an id that other fields of a key follow, so that keys sort by it."""
    return text(value).replace(b"\x00", b"\x00\xff") + b"\x00\x01"


def hash_of(value: str) -> bytes:
    """Return the hash of a text."""
    return blake2b(utf8(value), digest_size=8).digest()


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Decode a varint; also return the offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def read_ranges(data: bytes) -> Ranges:
    """Decode ranges."""
    found: Ranges = []
    at = 0
    while at < len(data):
        owner, at = read_varint(data, at)
        segment, at = read_varint(data, at)
        count, at = read_varint(data, at)
        end = 0
        for _ in range(count):
            zigzag, at = read_varint(data, at)
            length, at = read_varint(data, at)
            start = end + (zigzag >> 1 if zigzag % 2 == 0 else -((zigzag + 1) >> 1))
            found.append((owner, segment, start, length))
            end = start + length
    return found
