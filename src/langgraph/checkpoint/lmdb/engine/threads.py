"""Records of threads, which give ids of any length the short numbers in keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import namespaces, paging, records, thread_record
from langgraph.checkpoint.lmdb.engine.fields_cache import FieldsCache
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.errors import DamagedError, ThreadNotFoundError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind, Layer
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.engine.options import StoreOptions

_known_numbers = FieldsCache(1024)
"""The numbers that the records of thread ids name."""


def find(reader: Reader, thread_id: str) -> Thread | None:
    """Return the thread of this id, or None."""
    name = keys.thread_id(thread_id)
    record = reader.get(name)
    if record is None:
        return None
    thread = _read_named(reader, name, record)
    if thread.id != thread_id:
        envelope.raise_damaged(name, "it names another thread")
    return thread


def _read_named(reader: Reader, name: bytes, record: bytes) -> Thread:
    thread = by_number(reader, named(name, record))
    if thread is None:
        envelope.raise_damaged(name, "it does not name a thread")
    return thread


def named(name: bytes, record: bytes) -> int:
    """Return the number of a thread, from the key of its id and the record.

    Raises:
        DamagedError: The record differs from what was stored.
    """
    known = _known_numbers.get(name, record)
    if known is not None:
        return int(known[0])
    payload = envelope.unseal(name, record)
    number, end = keys.read_number(payload, 0)
    if end != len(payload):
        envelope.raise_damaged(name, "it does not name a thread")
    _known_numbers.put(name, record, (number,))
    return number


def read(reader: Reader, number: int) -> Thread | None:
    """Return the thread of this number, or None."""
    key = keys.thread_number(number)
    record = reader.get(key)
    return None if record is None else thread_record.decode(key, record)


def by_number(reader: Reader, number: int) -> Thread | None:
    """Return the thread of this number; None if it is deleted and not purged yet.

    Raises:
        DamagedError: The thread is missing or damaged.
    """
    thread = read(reader, number)
    if thread is None and reader.get(keys.tombstone(number)) is None:
        envelope.raise_damaged(keys.thread_number(number), "the record of the thread is missing")
    return thread


def next_number(reader: Reader) -> int:
    """Return the number of the next thread or layer, greater than all numbers with records."""
    record = reader.get(keys.NEXT_THREAD)
    if record is not None:
        return keys.read_number(envelope.unseal(keys.NEXT_THREAD, record), 0)[0]
    records = reader.keys(Kind.THREAD, keys.prefix_end(Kind.THREAD), reverse=True)
    last = next(iter(records), None)  # there is one if damage took the record
    return 1 if last is None else keys.read_number(last, 1)[0] + 1


def create(writer: Writer, thread_id: str, now: int) -> Thread:
    """Create a thread, which the caller saves."""
    number = _new_number(writer)
    thread = Thread(number=number, id=thread_id, created=now, updated=now, indexed_at=now)
    _write_name(writer, thread)
    return thread


def _new_number(writer: Writer) -> int:
    if writer.many_writers:
        return writer.new_number()
    number = next_number(writer)
    records.put(writer, keys.NEXT_THREAD, keys.number(number + 1))
    return number


def _write_name(writer: Writer, thread: Thread) -> None:
    """Let the id of a thread lead to its number, which is new."""
    records.put(writer, keys.thread_id(thread.id), keys.number(thread.number))
    namespaces.write(writer, thread.root, "")


def split_off_layer(writer: Writer, thread: Thread) -> None:
    """Make the records of a thread a layer; the caller saves the thread, which has a new number."""
    layer = _empty_layer(thread, thread.number)
    layer.generation = thread.generation
    layer.next_segment = thread.next_segment
    layer.size = thread.size
    layer.shared_owners = thread.shared_owners
    thread_record.update_indexes(writer, thread, removed=True)
    writer.delete(keys.thread_number(layer.number))
    save_layer(writer, layer)
    thread.layers = (Layer(layer.number, layer.size), *thread.layers)
    thread.number = _new_number(writer)
    thread.generation = thread.next_segment = thread.size = 0
    thread.shared_owners = []
    _write_name(writer, thread)


def create_layer(writer: Writer, thread: Thread) -> Thread:
    """Create a layer without records for a thread."""
    layer = _empty_layer(thread, _new_number(writer))
    save_layer(writer, layer)
    return layer


def _empty_layer(thread: Thread, number: int) -> Thread:
    return Thread(
        number=number,
        id=thread.id,
        created=thread.created,
        updated=thread.updated,
        indexed_at=thread.indexed_at,
        next_namespace=thread.next_namespace,
    )


def read_layer(reader: Reader, number: int) -> Thread | None:
    """Return the layer of this number, or None."""
    key = keys.layer(number)
    record = reader.get(key)
    return None if record is None else thread_record.decode(key, record)


def read_any(reader: Reader, number: int) -> Thread | None:
    """Return the thread or layer of this number, or None."""
    return read(reader, number) or read_layer(reader, number)


def save_any(writer: Writer, thread: Thread) -> None:
    """Save a thread or layer that `read_any` returned."""
    if writer.raw(keys.layer(thread.number)) is None:
        save(writer, thread)
    else:
        save_layer(writer, thread)


def save_layer(writer: Writer, layer: Thread) -> None:
    """Write the record of a layer, and update the counts."""
    thread_record.update_counts(writer, layer)
    records.put(writer, keys.layer(layer.number), thread_record.encode(layer))


def mark_layer_deleted(writer: Writer, layer: Thread) -> None:
    """Replace a layer by a tombstone, until `prune.purge` has removed its records."""
    thread_record.update_indexes(writer, layer, removed=True)
    writer.delete(keys.layer(layer.number))
    records.put(writer, keys.tombstone(layer.number), thread_record.encode(layer))


def set_ttl(writer: Writer, thread_id: str, ttl: int | None, options: StoreOptions) -> None:
    """Give a thread its own TTL.

    Args:
        writer: The write transaction.
        thread_id: The thread.
        ttl: Milliseconds, or `time_index.NEVER`. None: the TTL of the saver's policy.
        options: The options of the store.

    Raises:
        ThreadNotFoundError: The thread does not exist.
    """
    thread = options.find_thread(writer, thread_id)
    if thread is None or not thread.checkpoints:
        raise ThreadNotFoundError("the thread does not exist", thread_id=thread_id)
    thread.ttl = ttl
    thread.ttl_applied = False
    save(writer, thread)


def record_read(writer: Writer, thread_id: str, options: StoreOptions) -> None:
    """Count a read as activity of a thread. Do nothing for an unknown one."""
    thread = options.find_thread(writer, thread_id)
    if thread is not None:
        thread.touch(options.now())
        save(writer, thread)


def save(writer: Writer, thread: Thread) -> None:
    """Write a thread's record, and update the time index and the counts."""
    thread_record.update_indexes(writer, thread)
    key = keys.thread_number(thread.number)
    record = records.put(writer, key, thread_record.encode(thread))
    thread_record.remember(key, record, thread)


def mark_deleted(writer: Writer, thread: Thread) -> None:
    """Replace a thread by a tombstone, until `prune.purge` has removed its records."""
    thread_record.update_indexes(writer, thread, removed=True)
    writer.delete(keys.thread_id(thread.id))
    writer.delete(keys.thread_number(thread.number))
    records.put(writer, keys.tombstone(thread.number), thread_record.encode(thread))


def find_tombstone(reader: Reader, number: int) -> Thread | None:
    """Return the deleted thread of this number, or None if its records were purged."""
    key = keys.tombstone(number)
    record = reader.get(key)
    return None if record is None else thread_record.decode(key, record)


def all_threads(
    reader: Reader,
    on_damage: Callable[[DamagedError], None] | None = None,
    prefix: bytes = keys.Kind.THREAD_ID,
) -> Iterator[Thread]:
    """List all threads, by id.

    Args:
        reader: A snapshot.
        on_damage: Function to call for a thread that cannot be read. None: raise the error.
        prefix: Prefix of the keys of their ids.
    """

    def read_one(key: bytes) -> Thread | None:
        try:
            return _read_named(reader, key, reader.get(key) or b"")
        except DamagedError as error:
            if on_damage is None:
                raise
            on_damage(error)
            return None

    names = reader.keys(prefix, keys.prefix_end(prefix))
    for _, thread in paging.read_each(reader, read_one, names):
        if thread is not None:
            yield thread
