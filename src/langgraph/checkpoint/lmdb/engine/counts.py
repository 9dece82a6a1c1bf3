"""Counts of what the store holds. Every write transaction that changes them updates them."""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import NamedTuple

from langgraph.checkpoint.lmdb.engine import records
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

_FORM = Struct(">4Q")


class Counts(NamedTuple):
    """The counts of a store or of one thread."""

    threads: int
    """Threads that have checkpoints."""
    checkpoints: int
    writes: int
    bytes: int
    """Bytes of keys and records, as in `Thread.size`."""


NOTHING = Counts(0, 0, 0, 0)


def read(reader: Reader) -> Counts:
    """Return the counts that the store keeps."""
    record = reader.get(keys.COUNTS)
    if record is None:
        return NOTHING
    payload = envelope.unseal(keys.COUNTS, record)
    if len(payload) != _FORM.size:
        envelope.raise_damaged(keys.COUNTS, "its fields are not counts")
    return Counts(*_FORM.unpack(payload))


def change(writer: Writer, old: Counts, new: Counts) -> None:
    """Add the difference between two counts of one thread to the counts of the store.

    A store with many writers keeps no counts: see `totals.total`.
    """
    if writer.many_writers:
        return
    counts = read(writer)
    try:
        payload = _FORM.pack(*[n + b - a for n, a, b in zip(counts, old, new, strict=True)])
    except StructError:
        envelope.raise_damaged(keys.COUNTS, "a count would be negative or too large")
    records.put(writer, keys.COUNTS, payload)


def write(writer: Writer, total: Counts) -> None:
    """Set the counts of the store, if it keeps counts."""
    if writer.many_writers:
        return
    records.put(
        writer, keys.COUNTS, _FORM.pack(*(min(count, envelope.MAX_NUMBER) for count in total))
    )
