"""Threads and namespaces: ids of any length become short numbers, which other keys begin with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import keys, records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


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
    next_namespace: int = 0
    checkpoints: int = 0
    owners: list[int] = field(default_factory=list)
    """Other threads whose chunks this one uses, by number."""

    def new_arena(self) -> int:
        """An even number that no arena of the thread had before."""
        self.next_arena += 2
        return self.next_arena - 2


def _read_number(reader: Reader, key: bytes) -> int | None:
    record = reader.get(key)
    if record is None:
        return None
    return keys.read_number(records.unseal(key, record), 0)[0]


def _write_number(writer: Writer, key: bytes, number: int) -> None:
    writer.put(key, records.seal(key, records.pack(keys.number(number), None)))


def find(reader: Reader, thread_id: str) -> Thread | None:
    """The thread of this id, if the store has it."""
    number = _read_number(reader, keys.thread_name(thread_id))
    return None if number is None else load(reader, number)


def load(reader: Reader, number: int) -> Thread:
    """The thread of this number.

    Raises:
        DamagedError: Its record is missing or damaged.
    """
    key = keys.thread(number)
    record = reader.get(key)
    if record is None:
        records.damaged(key, "a thread has lost its record")
    fields = records.decode(key, records.unseal(key, record))
    return Thread(number, *fields)


def create(writer: Writer, thread_id: str, now: int) -> Thread:
    """Add a thread that the store does not have."""
    number = _read_number(writer, keys.NEXT_THREAD) or 1
    _write_number(writer, keys.NEXT_THREAD, number + 1)
    _write_number(writer, keys.thread_name(thread_id), number)
    return Thread(number, thread_id, created=now, updated=now)


def save(writer: Writer, thread: Thread) -> None:
    """Write a thread's record."""
    key = keys.thread(thread.number)
    payload = records.encode(
        (
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
    writer.put(key, records.seal(key, records.pack(payload, None)))


def all_threads(reader: Reader) -> Iterator[Thread]:
    """Every thread, by number, that is in the order of creation."""
    prefix = b"t"
    for key in reader.keys(prefix, keys.after(prefix)):
        yield load(reader, keys.read_number(key, len(prefix))[0])


def find_namespace(reader: Reader, thread: Thread, checkpoint_ns: str) -> int | None:
    """The number of a thread's namespace, if it has it."""
    key = keys.namespace(thread.number, checkpoint_ns)
    record = reader.get(key)
    if record is None:
        return None
    number: int = records.decode(key, records.unseal(key, record))[0]
    return number


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
    payload = records.encode((number, checkpoint_ns))
    writer.put(key, records.seal(key, records.pack(payload, None)))


def namespaces(reader: Reader, thread: Thread) -> list[tuple[str, int]]:
    """The namespaces of a thread and their numbers."""
    prefix = keys.namespaces(thread.number)
    out: list[tuple[str, int]] = []
    for key, record in reader.range(prefix, keys.after(prefix)):
        number, checkpoint_ns = records.decode(key, records.unseal(key, record))
        out.append((checkpoint_ns, number))
    return out
