"""The envelope around every stored record: checksum, codec, length. FORMAT.md has the diagram.

    checksum  4 bytes   CRC-32 of the key and of all that follows, big-endian
    codec     1 byte    form of the body: RAW, ZSTD, or ZSTD with a dictionary of the package
    length    varint    bytes of the payload, only if the body is compressed
    body

The checksum covers the key: a record that was moved or copied to another key is refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import product
from types import NoneType
from typing import Any, NoReturn, TypeAlias

import msgpack
import zstandard

from langgraph.checkpoint.lmdb.errors import DamagedError, FormatVersionError, SerializationError

FieldTypes: TypeAlias = "frozenset[tuple[type, ...]]"
"""The combinations of types that the fields of a record may have."""

OPTIONAL_TEXT = (str, NoneType)
"""Types of a field that is a text or nil."""
FORMAT_VERSION = 1
"""Version of the format that a new store gets."""
SUPPORTED_VERSIONS = (1,)
"""Versions that this release reads."""

RAW = 0
ZSTD = 1
ZSTD_DICTIONARY_1 = 2
DICTIONARIES = {ZSTD_DICTIONARY_1: "dictionary-1.zstd"}
"""File of the dictionary of each codec. A store may hold frames of every codec, so a dictionary
never changes; a better one gets a new codec."""

MAX_RECORD = 1 << 26
"""Bytes that the payload of a record may have. Checked before memory is allocated."""
MAX_NUMBER = (1 << 63) - 1
"""Greatest count, time or number in a record."""
_MIN_COMPRESSED = 32
"""Bytes of the shortest payload that is compressed."""
_MIN_PLAIN = 4096
"""Bytes of the shortest payload that is compressed without the dictionary, which helps small
records and slows larger ones down."""
_FASTER = 2
"""Levels less for payloads without the dictionary. Large texts take a third less time to compress,
and at most a twentieth more space."""
_UNKNOWN_SIZE = -1
"""Result of zstandard.frame_content_size for a frame without a size."""
_CHECKSUM_SIZE = 4


@cache
def _dictionary(codec: int) -> zstandard.ZstdCompressionDict:
    data = files(__package__).joinpath(DICTIONARIES[codec]).read_bytes()
    return zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_FULLDICT)


@cache
def _compression_dictionary(codec: int, level: int) -> zstandard.ZstdCompressionDict:
    data = _dictionary(codec).as_bytes()
    dictionary = zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_FULLDICT)
    dictionary.precompute_compress(level=level)
    return dictionary


# A zstd context serves one call at a time and is expensive to make. Idle contexts are kept in
# lists, whose pop and append are atomic.
_compressors: dict[tuple[int, int], list[zstandard.ZstdCompressor]] = {}
_decompressors: dict[int, list[zstandard.ZstdDecompressor]] = {}


def _compress(payload: bytes, codec: int, level: int) -> bytes:
    idle = _compressors.setdefault((codec, level), [])
    try:
        context = idle.pop()
    except IndexError:
        context = zstandard.ZstdCompressor(
            level=level,
            dict_data=_compression_dictionary(codec, level) if codec in DICTIONARIES else None,
            write_content_size=False,
            write_checksum=False,
            write_dict_id=False,
        )
    frame = context.compress(payload)
    idle.append(context)
    return frame


def _decompress(frame: bytes, codec: int, size: int) -> bytes:
    idle = _decompressors.setdefault(codec, [])
    try:
        context = idle.pop()
    except IndexError:
        dictionary = _dictionary(codec) if codec in DICTIONARIES else None
        context = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=1 << 27)
    payload = context.decompress(frame, max_output_size=size)
    idle.append(context)
    return payload


def varint(n: int) -> bytes:
    """Encode n >= 0 in groups of seven bits, lowest first."""
    if n < 0x80:
        return bytes((n,))
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Decode a varint at an offset; also return the offset behind it.

    Raises:
        IndexError: The data ends inside the varint.
        ValueError: The varint has more than 64 bits.
    """
    n = shift = 0
    while True:
        byte = data[at]
        at += 1
        n |= (byte & 0x7F) << shift
        if byte < 0x80:
            return n, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint of more than 64 bits")


def pack(payload: bytes, level: int | None) -> bytes:
    """Return a payload behind its codec byte, compressed if that makes it shorter.

    Args:
        payload: Any bytes.
        level: zstd's level, 1 to 22, for a small payload. None: no compression.

    Raises:
        SerializationError: The payload is longer than a reader accepts.
    """
    if len(payload) > MAX_RECORD:
        raise SerializationError(
            f"a record would have {len(payload)} bytes, the limit is {MAX_RECORD}",
            advice="Make fewer writes in one task, or use fewer channels.",
        )
    if level is not None and len(payload) >= _MIN_COMPRESSED:
        if len(payload) < _MIN_PLAIN:
            codec = ZSTD_DICTIONARY_1
        else:
            codec, level = ZSTD, max(level - _FASTER, 1)
        frame = _compress(payload, codec, level)
        size = varint(len(payload))
        if len(frame) + len(size) < len(payload):
            return bytes((codec,)) + size + frame
    return b"\x00" + payload


def seal(key: bytes, packed: bytes) -> bytes:
    """Return the stored record: what `pack` returned, bound to its key by a checksum."""
    return zlib.crc32(packed, zlib.crc32(key)).to_bytes(_CHECKSUM_SIZE, "big") + packed


def reseal(old_key: bytes, new_key: bytes, record: bytes) -> bytes:
    """Check a record and bind it to another key."""
    check(old_key, record)
    return seal(new_key, record[_CHECKSUM_SIZE:])


def check(key: bytes, record: bytes) -> None:
    """Check the checksum of a record.

    Raises:
        DamagedError: The record is damaged or belongs to another key.
    """
    packed = memoryview(record)[_CHECKSUM_SIZE:]
    if not packed or zlib.crc32(packed, zlib.crc32(key)) != int.from_bytes(
        record[:_CHECKSUM_SIZE], "big"
    ):
        raise_damaged(key, "its checksum does not match")


def unseal(key: bytes, record: bytes, limit: int = MAX_RECORD) -> bytes:
    """Return the payload of a stored record, at most `limit` bytes.

    Raises:
        DamagedError: The record differs from what was written under this key.
        FormatVersionError: A newer release wrote the record, with a codec unknown to this one.
    """
    check(key, record)
    codec = record[_CHECKSUM_SIZE]
    if codec == RAW:
        if len(record) - _CHECKSUM_SIZE - 1 > limit:
            raise_damaged(key, f"it has {len(record)} bytes, the limit is {limit}")
        return record[_CHECKSUM_SIZE + 1 :]
    if codec != ZSTD and codec not in DICTIONARIES:
        raise FormatVersionError(
            f"record {key.hex()} has codec {codec}, which this release does not know; "
            "a newer release of langgraph-lmdb wrote it: upgrade to read it",
            found=codec,
            supported=(RAW, ZSTD, *DICTIONARIES),
        )
    try:
        size, at = read_varint(record, _CHECKSUM_SIZE + 1)
        if size > limit:
            raise_damaged(key, f"it claims {size} bytes, the limit is {limit}")
        frame = record[at:]
        claim = zstandard.frame_content_size(frame)  # zstd would allocate it
        if claim not in (_UNKNOWN_SIZE, size):
            raise_damaged(key, f"its frame claims {claim} bytes instead of {size}")
        payload = _decompress(frame, codec, size)
    except (zstandard.ZstdError, IndexError, ValueError) as error:
        raise_damaged(key, str(error))
    if len(payload) != size:
        raise_damaged(key, f"it has {len(payload)} bytes instead of {size}")
    return payload


def raise_damaged(key: bytes, what: str) -> NoReturn:
    """Raise DamagedError for the record of a key."""
    raise DamagedError(f"record {key.hex()} of the store is damaged: {what}", record=key.hex())


def is_count(value: Any) -> bool:
    """Return True if a field can be a number, a time or a count."""
    return type(value) is int and 0 <= value <= MAX_NUMBER


def encode(fields: Any) -> bytes:
    """Return a record's fields as msgpack."""
    packed: bytes = msgpack.packb(fields, unicode_errors="surrogatepass")
    return packed


def decode(key: bytes, payload: bytes) -> Any:
    """Return the fields of a record.

    Raises:
        DamagedError: The payload is not msgpack.
    """
    try:
        return msgpack.unpackb(
            payload, strict_map_key=False, unicode_errors="surrogatepass", use_list=True
        )
    except (ValueError, TypeError, msgpack.exceptions.ExtraData, RecursionError) as error:
        raise_damaged(key, f"its fields cannot be decoded: {error}")


def field_types(*fields: type | Sequence[type]) -> FieldTypes:
    """Return the combinations of types for `decode_fields`, from one type or several per field."""
    return frozenset(product(*([field] if isinstance(field, type) else field for field in fields)))


def decode_fields(key: bytes, record: bytes, types: FieldTypes) -> list[Any]:
    """Unseal a record and return its fields, which have one of the combinations of types.

    Raises:
        DamagedError: The record differs from what was stored.
    """
    fields: list[Any] = decode(key, unseal(key, record))
    if type(fields) is not list or tuple(map(type, fields)) not in types:
        raise_damaged(key, "its fields have unexpected types")
    return fields
