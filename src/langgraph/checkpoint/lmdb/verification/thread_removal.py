"""Deleting a thread with unreadable records, by its number alone.

A damaged record does not tell which index entries lead to it, so all index entries are read.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import counts, garbage, threads
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.verification import index_check, key_scan, thread_repair

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
    for index in index_check.STORE_INDEXES:
        if index is not index_check.THREAD_IDS:
            for key in list(index.entries_of(writer, found)):
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
        if _id_of(reader, number) in (thread_id, None):
            return number
    for number, _ in key_scan.numbers(reader, keys.Kind.THREAD):
        if _id_of(reader, number) == thread_id:
            return number
    return None


def _id_of(reader: Reader, number: int) -> str | None:
    """Return the id in the record of a thread; None if the record is missing or unreadable."""
    with suppress(IntegrityError):
        thread = threads.read(reader, number)
        return None if thread is None else thread.id
    return None
