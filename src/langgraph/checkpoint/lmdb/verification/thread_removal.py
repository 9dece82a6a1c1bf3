"""Deleting a thread with unreadable records, by its number alone.

A damaged record does not tell which index entries lead to it, so all index entries are read.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import counts, garbage, threads
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.verification import key_scan, thread_repair

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


def remove_thread(writer: Writer, thread_id: str, number: int | None) -> bool:
    """Delete a thread, and every index entry that leads to it.

    Args:
        writer: The write transaction.
        thread_id: The thread.
        number: The number of the thread. None: find it.

    Returns:
        False if neither the key of the id nor the record of the thread tells the number.
    """
    found = _number_of(writer, thread_id) if number is None else number
    if found is None:
        return False
    writer.delete(keys.thread(thread_id))
    thread_repair.delete_records(writer, found)
    for kind, number_in in _INDEXES.items():
        for key in [*writer.keys(kind, keys.prefix_end(kind))]:
            with suppress(IntegrityError):
                if number_in(key) == found:
                    writer.delete(key)
    owners = garbage.rebuild_shared_refs(writer, found, None)
    garbage.free_unused_chunks(writer, found, None)
    for owner in owners:
        garbage.free_orphaned_chunks(writer, owner)
    counts.write(writer, key_scan.totals(writer)[0])
    return True


def _number_of(reader: Reader, thread_id: str) -> int | None:
    """Return the number of a thread, from the key of its id or else from its record."""
    name = keys.thread(thread_id)
    with suppress(IntegrityError):
        number, _ = keys.read_number(envelope.unseal(name, reader.get(name) or b""), 0)
        if _id_of(reader, keys.thread_number(number)) in (thread_id, None):
            return number
    prefix = keys.thread_number(0)[:1]
    at, stop = prefix, keys.prefix_end(prefix)
    while (key := next(iter(reader.keys(at, stop)), None)) is not None:
        with suppress(IntegrityError):
            number, end = keys.read_number(key, len(prefix))
            if _id_of(reader, key[:end]) == thread_id:
                return number
            at = keys.prefix_end(key[:end])
            continue
        at = key + b"\x00"
    return None


def _id_of(reader: Reader, key: bytes) -> str | None:
    """Return the id in the record of a thread; None if the record cannot be read."""
    try:
        return threads.decode(key, reader.get(key) or b"").id
    except IntegrityError:
        return None


def _with_term(key: bytes) -> int:
    _, at = keys.read_sortable_text(key, len(keys.term(b"")) + keys.HASH_SIZE)
    return keys.read_number(key, at)[0]


def _thread_with_term(key: bytes) -> int:
    return keys.read_number(key, len(keys.thread_term(b"")) + keys.HASH_SIZE)[0]


def _in_time_index(key: bytes) -> int:
    _, at = keys.read_number(key, 1)
    _, at = keys.read_number(key, at)
    return keys.read_number(key, at)[0]


_INDEXES = {
    keys.Kind.TERM: _with_term,
    keys.Kind.THREAD_TERM: _thread_with_term,
    keys.Kind.TIME: _in_time_index,
}
"""Function that returns the thread's number in an index entry, by the kind of the entry."""
