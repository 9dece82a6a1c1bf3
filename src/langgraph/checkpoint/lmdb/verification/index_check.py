"""Whether an entry of an index leads to what it should; asked key by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import checkpoints, threads, time_index
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


def is_stale_name(reader: Reader, key: bytes) -> bool:
    """Whether an id of a thread leads to another thread, or to none."""
    try:
        payload = envelope.unseal(key, reader.get(key) or b"")
        number, end = keys.read_number(payload, 0)
    except IntegrityError:
        return True
    name = keys.thread_number(number)
    if end != len(payload):
        return True
    try:
        record = reader.get(name)
        return record is None or keys.thread(threads.decode(name, record).id) != key
    except IntegrityError:
        return False  # it may be all that is left of the thread's id


def is_stale_label(reader: Reader, key: bytes) -> bool:
    """Whether an entry of the index of labels leads to no checkpoint with that label."""
    try:
        end = len(keys.term(b"")) + keys.HASH_SIZE
        part, at = keys.read_sortable_text(key, end)
        thread, at = keys.read_number(key, at)
        namespace, at = keys.read_number(key, at)
        empty = reader.get(key) == b""
    except IntegrityError:
        return True
    term = key[end - keys.HASH_SIZE : end]
    checkpoint_key = keys.checkpoints(thread, namespace) + part
    if at != len(key) or not empty:
        return True
    try:
        record = reader.get(checkpoint_key)
        if record is None:
            return True
        return term not in checkpoints.decode(checkpoint_key, record, thread, namespace).terms
    except IntegrityError:
        return False


def is_stale_thread_label(reader: Reader, key: bytes) -> bool:
    """Whether an entry of the labels of threads leads to none with that label."""
    try:
        end = len(keys.thread_term(b"")) + keys.HASH_SIZE
        thread, at = keys.read_number(key, end)
        empty = reader.get(key) == b""
    except IntegrityError:
        return True
    term = key[end - keys.HASH_SIZE : end]
    if at != len(key) or not empty:
        return True
    prefix = keys.of_thread(b"c", thread)
    for checkpoint_key in reader.keys(prefix, keys.prefix_end(prefix), reverse=True):
        try:
            namespace, _ = keys.read_number(checkpoint_key, len(prefix))
            found = checkpoints.decode(
                checkpoint_key, reader.get(checkpoint_key) or b"", thread, namespace
            )
        except IntegrityError:
            return False
        if term in found.thread_terms:
            return False
    return True


def is_stale_entry(reader: Reader, key: bytes) -> bool:
    """Whether an entry of the agenda is none that its thread has to have."""
    try:
        kind, at = keys.read_number(key, 1)
        time, at = keys.read_number(key, at)
        thread, at = keys.read_number(key, at)
        empty = reader.get(key) == b""
    except IntegrityError:
        return True
    name = keys.thread_number(thread)
    if at != len(key) or not empty:
        return True
    try:
        record = reader.get(name)
        wanted = [] if record is None else threads.entries(threads.decode(name, record))
    except IntegrityError:
        return False
    return time_index.TimeIndexEntry(kind, time, thread) not in wanted


STORE_WIDE: dict[bytes, tuple[str, Callable[[Reader, bytes], bool]]] = {
    b"T": ("an id of a thread leads to another one, or to none", is_stale_name),
    b"r": ("a label leads to no checkpoint that has it", is_stale_label),
    b"m": ("a label leads to no thread that has it", is_stale_thread_label),
    b"e": ("the agenda has an entry that its thread does not call for", is_stale_entry),
}
"""The indexes that are not part of a thread, by the letter of their keys."""


def add(writer: Writer, entry: bytes) -> None:
    """Put an entry into an index, unless it is there."""
    found = writer.raw(entry)
    if found is None or found[1]:
        writer.put(entry, b"")


def of_checkpoint(thread: int, namespace: int, record: CheckpointRecord) -> list[bytes]:
    """The entries that have to lead to a checkpoint, and to its thread."""
    found = [keys.with_term(term, record.id, thread, namespace) for term in record.terms]
    found += [keys.thread_with_term(term, thread) for term in record.thread_terms]
    if record.parent is not None:
        found.append(keys.children(thread, namespace, record.parent) + keys.text(record.id))
    return found


def of_thread(thread: Thread) -> list[bytes]:
    """The entries of the agenda that a thread has to have."""
    return [entry.key() for entry in threads.entries(thread)]
