"""Deleting a thread whose records cannot all be read: by its number alone.

Where a record does not tell what leads to it, all indexes of the store are gone through.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import counts, garbage, threads
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.verification import key_scan, thread_repair

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


def remove(thread_id: str, number: int | None) -> Callable[[Writer], bool]:
    """Delete a thread with all that leads to it.

    Args:
        thread_id: The thread.
        number: Its number, if that is known.

    Returns (when run):
        Whether it could be told which records are the thread's.
    """

    def apply(writer: Writer) -> bool:
        found = _number_of(writer, thread_id) if number is None else number
        if found is None:
            return False
        writer.delete(keys.thread(thread_id))
        thread_repair.delete_records(writer, found)
        for letter, number_in in _INDEXES.items():
            for key in [*writer.keys(letter, keys.after(letter))]:
                with suppress(IntegrityError):
                    if number_in(key) == found:
                        writer.delete(key)
        owners = garbage.restore_pins(writer, found, None)
        garbage.restore_chunks(writer, found, None)
        for owner in owners:
            garbage.free_left_behind(writer, owner)
        counts.write(writer, key_scan.totals(writer)[0])
        return True

    return apply


def _number_of(reader: Reader, thread_id: str) -> int | None:
    """The number that the id of a thread leads to, or that the record of such a thread has."""
    name = keys.thread(thread_id)
    with suppress(IntegrityError):
        number, _ = keys.read_number(envelope.unseal(name, reader.get(name) or b""), 0)
        if _id_of(reader, keys.thread_number(number)) in (thread_id, None):
            return number
    prefix = keys.thread_number(0)[:1]
    at, stop = prefix, keys.after(prefix)
    while (key := next(iter(reader.keys(at, stop)), None)) is not None:
        with suppress(IntegrityError):
            number, end = keys.read_number(key, len(prefix))
            if _id_of(reader, key[:end]) == thread_id:
                return number
            at = keys.after(key[:end])
            continue
        at = key + b"\x00"
    return None


def _id_of(reader: Reader, key: bytes) -> str | None:
    """The id in the record of a thread; None if it cannot be read."""
    try:
        return threads.decode(key, reader.get(key) or b"").id
    except IntegrityError:
        return None


def _with_term(key: bytes) -> int:
    _, at = keys.read_sortable_text(key, len(keys.term(b"")) + keys.HASH_SIZE)
    return keys.read_number(key, at)[0]


def _thread_labelled(key: bytes) -> int:
    return keys.read_number(key, len(keys.thread_term(b"")) + keys.HASH_SIZE)[0]


def _on_agenda(key: bytes) -> int:
    _, at = keys.read_number(key, 1)
    _, at = keys.read_number(key, at)
    return keys.read_number(key, at)[0]


_INDEXES = {b"r": _with_term, b"m": _thread_labelled, b"e": _on_agenda}
"""What tells the number of a thread in an entry of an index, by the letter of its key."""
