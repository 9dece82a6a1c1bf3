"""Records of the log. Each holds the changes of one commit.

    epoch      8 bytes   the epoch, as in the state of the base, big-endian
    number     8 bytes   one more than the record before
    length     4 bytes   of the payload
    checksum   4 bytes   CRC-32 of the checksum of the record before, and of all the rest
    payload              msgpack: a map of each changed key to its value, or to nil if it is deleted

The first record of an epoch covers the CRC-32 of its salt instead. So a record counts only behind
the very record that it was written after. Neither old bytes, nor a stored value that looks like a
record, nor the log of another store is ever read as a record.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple, TypeAlias

import msgpack

from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.base import MAX_KEY_SIZE
from langgraph.checkpoint.lmdb.kv.log.state import LogState

Changes: TypeAlias = "Mapping[bytes, bytes | None]"
"""The new value of each key; None: the key is deleted."""

_HEAD = Struct(">QQI")
_CHECKSUM = Struct(">I")
HEADER_SIZE = _HEAD.size + _CHECKSUM.size


class Position(NamedTuple):
    """A place in the log between two records."""

    epoch: int
    number: int
    """Number of the record before, or what the base has applied."""
    offset: int
    checksum: int
    """Checksum of the record before; at the start of an epoch, of its salt."""


def start(state: LogState) -> Position:
    """Return the position before the first record of an epoch."""
    return Position(state.epoch, state.applied, 0, zlib.crc32(state.salt))


def encode(position: Position, changes: Changes) -> tuple[bytes, Position]:
    """Return the record of some changes, and the position behind it."""
    payload: bytes = msgpack.packb(changes)
    head = _HEAD.pack(position.epoch, position.number + 1, len(payload))
    checksum = _checksum(position, head, payload)
    return head + _CHECKSUM.pack(checksum) + payload, _behind(position, checksum, payload)


def least_size(changes: Changes) -> int:
    """Return a number of bytes that the record of some changes has at least."""
    return sum(len(key) + len(value or b"") for key, value in changes.items())


def payload_length(position: Position, header: bytes) -> int | None:
    """Return the length of the payload that a header announces; None: it continues nothing."""
    if len(header) < HEADER_SIZE:
        return None
    epoch, number, length = _HEAD.unpack_from(header)
    if (epoch, number) != (position.epoch, position.number + 1):
        return None
    return int(length)


def decode(position: Position, header: bytes, payload: bytes) -> tuple[Changes, Position] | None:
    """Return the changes of the record behind a position, and the position behind that record.

    Args:
        position: The position.
        header: Header of the record, for which `payload_length` returned a length.
        payload: Its payload, which may be cut short.

    Returns:
        None: The record is not whole, or was written behind another record.

    Raises:
        DamagedError: Its checksum is right, but its payload is not.
    """
    head = header[: _HEAD.size]
    checksum = _checksum(position, head, payload)
    if _CHECKSUM.pack(checksum) != header[_HEAD.size :]:
        return None
    return _changes(payload), _behind(position, checksum, payload)


def _changes(payload: bytes) -> Changes:
    try:
        changes = msgpack.unpackb(payload, strict_map_key=False)
    except (ValueError, msgpack.UnpackException, RecursionError):
        changes = None
    if isinstance(changes, dict) and all(_is_change(*item) for item in changes.items()):
        return changes
    raise DamagedError("a record of the log is damaged", record="log.mdb")


def _is_change(key: object, value: object) -> bool:
    is_key = isinstance(key, bytes) and 0 < len(key) <= MAX_KEY_SIZE
    return is_key and (value is None or isinstance(value, bytes))


def _checksum(position: Position, head: bytes, payload: bytes) -> int:
    before = zlib.crc32(_CHECKSUM.pack(position.checksum))
    return zlib.crc32(payload, zlib.crc32(head, before))


def _behind(position: Position, checksum: int, payload: bytes) -> Position:
    end = position.offset + HEADER_SIZE + len(payload)
    return Position(position.epoch, position.number + 1, end, checksum)
