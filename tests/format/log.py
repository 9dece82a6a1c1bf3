"""The log in front of a store, read with docs/design/FORMAT.md alone."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import msgpack

from tests.format.encodings import UnreadableError

LOG_STATE = b"\x00log"


def replay_log(folder: Path, records: dict[bytes, bytes]) -> None:
    """Apply the records of the log to the records of the database."""
    state = records.pop(LOG_STATE, None)
    if state is None:
        return
    applied, epoch, size, salt, checksum = struct.unpack(">QQQ16sI", state)
    if zlib.crc32(state[:40]) != checksum:
        raise UnreadableError("the state of the log is damaged")
    if not size:
        return
    log = (folder / "log.mdb").read_bytes() if (folder / "log.mdb").exists() else b""
    if len(log) < size:
        raise UnreadableError("the log is missing")
    before, at = zlib.crc32(salt), 0
    while at + 24 <= len(log):
        found_epoch, number, length, checksum = struct.unpack_from(">QQII", log, at)
        payload = log[at + 24 : at + 24 + length]
        whole = struct.pack(">I", before) + log[at : at + 20] + payload
        if (found_epoch, number, checksum) != (epoch, applied + 1, zlib.crc32(whole)):
            return
        for key, value in msgpack.unpackb(payload, strict_map_key=False).items():
            if value is None:
                records.pop(key, None)
            else:
                records[key] = value
        before, applied, at = checksum, number, at + 24 + length
