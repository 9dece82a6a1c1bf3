"""Storing the payload of a record."""

from __future__ import annotations

from langgraph.checkpoint.lmdb.format import envelope
from langgraph.checkpoint.lmdb.kv.base import Writer


def put(writer: Writer, key: bytes, payload: bytes) -> bytes:
    """Store a payload without compression; return its record."""
    record = envelope.seal(key, envelope.pack(payload, None))
    writer.put(key, record)
    return record
