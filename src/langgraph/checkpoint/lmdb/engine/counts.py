"""How much the store holds, kept up to date by whoever changes it: nobody has to count."""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import TYPE_CHECKING, NamedTuple

from langgraph.checkpoint.lmdb.format import envelope, keys

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

_FORM = Struct(">4Q")


class Counts(NamedTuple):
    """How much the store holds, or one thread of it."""

    threads: int
    """Those with checkpoints."""
    checkpoints: int
    writes: int
    bytes: int
    """Of keys and records, in the sense of `Thread.size`."""


NOTHING = Counts(0, 0, 0, 0)


def read(reader: Reader) -> Counts:
    """How much the store holds, all threads together."""
    record = reader.get(keys.COUNTS)
    if record is None:
        return NOTHING
    payload = envelope.unseal(keys.COUNTS, record)
    if len(payload) != _FORM.size:
        envelope.raise_damaged(keys.COUNTS, "its fields are not counts")
    return Counts(*_FORM.unpack(payload))


def change(writer: Writer, old: Counts, new: Counts) -> None:
    """Note that a part of the store holds something else than before."""
    counts = read(writer)
    try:
        payload = _FORM.pack(*[n + b - a for n, a, b in zip(counts, old, new, strict=True)])
    except StructError:
        envelope.raise_damaged(keys.COUNTS, "it counts less than there was")
    _put(writer, payload)


def write(writer: Writer, total: Counts) -> None:
    """Note how much the store holds, whatever was noted."""
    _put(writer, _FORM.pack(*(min(count, envelope.MAX_NUMBER) for count in total)))


def _put(writer: Writer, payload: bytes) -> None:
    writer.put(keys.COUNTS, envelope.seal(keys.COUNTS, envelope.pack(payload, None)))
