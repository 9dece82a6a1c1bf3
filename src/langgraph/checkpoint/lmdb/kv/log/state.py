"""The record in the base store that says which records of the log it holds already.

Only a merge changes it. So the base is always consistent with itself, and the log of exactly one
epoch continues it.
"""

from __future__ import annotations

import os
import zlib
from struct import Struct
from typing import NamedTuple

from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.base import Reader

KEY = b"\x00log"
"""Key of the record. The layers above never see it."""
_FORM = Struct(">QQQ16s")
_CHECKSUM = Struct(">I")


class LogState(NamedTuple):
    """The part of the store that the base holds."""

    applied: int = 0
    """Number of the last record that the base holds."""
    epoch: int = 0
    """Number of merges. The records of an epoch begin at the start of the log."""
    size: int = 0
    """Bytes of the log file. 0: the base holds everything, and the log file may be missing."""
    salt: bytes = bytes(16)
    """Random bytes, new in each epoch, that the checksums of its records depend on."""

    def encode(self) -> bytes:
        """Return the record."""
        fields = _FORM.pack(*self)
        return fields + _CHECKSUM.pack(zlib.crc32(fields))

    def next(self, applied: int, size: int) -> LogState:
        """Return the state after a merge of all records up to a number."""
        return LogState(applied, self.epoch + 1, size, os.urandom(16))


def read(reader: Reader) -> bytes:
    """Return the record of a store, or the record of a store that never had a log."""
    record = reader.get(KEY)
    return _NEW if record is None else record


def decode(record: bytes) -> LogState:
    """Decode the record.

    Raises:
        DamagedError: The record is damaged.
    """
    fields, checksum = record[: _FORM.size], record[_FORM.size :]
    if len(fields) != _FORM.size or checksum != _CHECKSUM.pack(zlib.crc32(fields)):
        raise DamagedError("the record of the log is damaged", record=KEY.hex())
    return LogState(*_FORM.unpack(fields))


_NEW = LogState().encode()
