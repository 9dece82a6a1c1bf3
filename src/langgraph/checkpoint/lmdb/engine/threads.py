"""Threads and namespaces: ids of any length become short numbers, which other keys begin with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import keys, records
from langgraph.checkpoint.lmdb.engine.values import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


ROOT = 0
"""The number of the root namespace, which every thread has."""


@dataclass(slots=True)
class Thread:
    """What the store keeps of a thread itself."""

    number: int
    id: str
    created: int
    """Milliseconds since the epoch."""
    updated: int
    """Milliseconds since the epoch; of the last put or put_writes."""
    generation: int = 0
    """Counts the times that chunks of this thread were freed or a checkpoint was replaced: what
    was learned of the thread's chunks holds as long as it stays the same."""
    next_arena: int = 0
    next_namespace: int = ROOT + 1
    checkpoints: int = 0
    owners: list[int] = field(default_factory=list)
    """Other threads whose chunks this one uses, by number."""

    @property
    def place(self) -> Place:
        """What has to hold for what was read of the thread to be true."""
        return Place(self.number, self.generation)

    def new_arena(self) -> int:
        """An even number that no arena of the thread had before."""
        self.next_arena += 2
        return self.next_arena - 2


def find(reader: Reader, thread_id: str) -> Thread | None:
    """The thread of this id, if the store has it."""
    key = keys.thread(thread_id)
    record = reader.get(key)
    return None if record is None else _decode(key, record)


def load(reader: Reader, number: int) -> Thread:
    """The thread of this number.

    Raises:
        DamagedError: The store has no such thread, or it is damaged.
    """
    name = keys.thread_number(number)
    record = reader.get(name)
    if record is None:
        records.damaged(name, "a thread has lost its record")
    key = records.unseal(name, record)
    record = reader.get(key)
    if record is None:
        records.damaged(key, "a thread has lost its record")
    return _decode(key, record)


def exists(reader: Reader, number: int) -> bool:
    """Whether there is a thread of this number."""
    return reader.get(keys.thread_number(number)) is not None


def _decode(key: bytes, record: bytes) -> Thread:
    fields = records.decode(key, records.unseal(key, record))
    try:
        return Thread(*fields)
    except TypeError as error:
        records.damaged(key, f"its fields are not those of a thread: {error}")


def create(writer: Writer, thread_id: str, now: int) -> Thread:
    """Add a thread that the store does not have; the caller saves it."""
    record = writer.get(keys.NEXT_THREAD)
    number = 1
    if record is not None:
        number, _ = keys.read_number(records.unseal(keys.NEXT_THREAD, record), 0)
    _put(writer, keys.NEXT_THREAD, keys.number(number + 1))
    _put(writer, keys.thread_number(number), keys.thread(thread_id))
    thread = Thread(number, thread_id, created=now, updated=now)
    write_namespace(writer, thread, "", ROOT)
    return thread


def save(writer: Writer, thread: Thread) -> None:
    """Write a thread's record."""
    payload = records.encode(
        (
            thread.number,
            thread.id,
            thread.created,
            thread.updated,
            thread.generation,
            thread.next_arena,
            thread.next_namespace,
            thread.checkpoints,
            thread.owners,
        )
    )
    _put(writer, keys.thread(thread.id), payload)


def remove(writer: Writer, thread: Thread) -> None:
    """Delete a thread's record; what belongs to the thread is gone already."""
    writer.delete(keys.thread(thread.id))
    writer.delete(keys.thread_number(thread.number))


def _put(writer: Writer, key: bytes, payload: bytes) -> None:
    writer.put(key, records.seal(key, records.pack(payload, None)))


def all_threads(reader: Reader) -> Iterator[Thread]:
    """Every thread, by id."""
    prefix = b"T"
    for key, record in reader.range(prefix, keys.after(prefix)):
        yield _decode(key, record)


def find_namespace(reader: Reader, thread: Thread, checkpoint_ns: str) -> int | None:
    """The number of a thread's namespace, if it has it."""
    if not checkpoint_ns:
        return ROOT
    key = keys.namespace(thread.number, checkpoint_ns)
    record = reader.get(key)
    return None if record is None else _decode_namespace(key, record)[1]


def ensure_namespace(writer: Writer, thread: Thread, checkpoint_ns: str) -> int:
    """The number of a thread's namespace, given now if it had none; the caller saves the thread."""
    number = find_namespace(writer, thread, checkpoint_ns)
    if number is None:
        number = thread.next_namespace
        thread.next_namespace += 1
        write_namespace(writer, thread, checkpoint_ns, number)
    return number


def write_namespace(writer: Writer, thread: Thread, checkpoint_ns: str, number: int) -> None:
    """Give a namespace of a thread its number."""
    key = keys.namespace(thread.number, checkpoint_ns)
    _put(writer, key, records.encode((number, checkpoint_ns)))


def namespaces(reader: Reader, thread: Thread) -> list[tuple[str, int]]:
    """The namespaces of a thread and their numbers."""
    prefix = keys.namespaces(thread.number)
    return [_decode_namespace(k, record) for k, record in reader.range(prefix, keys.after(prefix))]


def _decode_namespace(key: bytes, record: bytes) -> tuple[str, int]:
    fields = records.decode(key, records.unseal(key, record))
    if not isinstance(fields, list) or [*map(type, fields)] != [int, str]:
        records.damaged(key, "its fields are not those of a namespace")
    number, checkpoint_ns = fields
    return checkpoint_ns, number
