"""Pending writes: one record per checkpoint and task, which may come before the checkpoint does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine.chunks import StoredValue, stored_value
from langgraph.checkpoint.lmdb.format import envelope, keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


@dataclass(slots=True)
class Write:
    """One write of a task to a channel."""

    index: int
    """Its place among the task's writes; below 0 for the channels that hold one write a task."""
    channel: str
    path: str
    """The path of the task, which orders the writes of one superstep."""
    value: StoredValue


@dataclass(slots=True)
class TaskWrites:
    """All writes of one task to one checkpoint."""

    task_id: str
    writes: dict[int, Write]
    size: int = 0
    """Bytes of the key and the record that they were read from."""


def decode(key: bytes, prefix: bytes, record: bytes) -> TaskWrites:
    """The writes of a task from the bytes that are stored under its key.

    Args:
        key: The key.
        prefix: What stands before the task's id in it.
        record: The bytes.

    Raises:
        DamagedError: They are not what was stored there.
    """
    fields = envelope.decode(key, envelope.unseal(key, record))
    try:
        full_id, rows = fields
        part = key[len(prefix) :]
        if keys.is_truncated(part) if full_id is None else keys.text(full_id) != part:
            raise ValueError("the task's id is another")
        for index, channel, path, _ in rows:
            if [type(index), type(channel), type(path)] != [int, str, str]:
                raise ValueError("some are of another kind")
        return TaskWrites(
            keys.decoded(part, key) if full_id is None else full_id,
            {
                index: Write(index, channel, path, stored_value(value))
                for index, channel, path, value in rows
            },
            len(key) + len(record),
        )
    except (AttributeError, TypeError, ValueError) as error:
        envelope.raise_damaged(key, f"its fields are not those of pending writes: {error}")


def read_task(
    reader: Reader, thread: int, namespace: int, checkpoint_id: str, task_id: str
) -> TaskWrites:
    """What a task wrote so far; empty where it wrote nothing."""
    prefix = keys.writes(thread, namespace, checkpoint_id)
    key = prefix + keys.text(task_id)
    record = reader.get(key)
    return TaskWrites(task_id, {}) if record is None else decode(key, prefix, record)


def write_task(
    writer: Writer,
    thread: int,
    namespace: int,
    checkpoint_id: str,
    task: TaskWrites,
    level: int | None,
) -> int:
    """Store the writes of a task, in place of what it wrote before.

    Returns:
        The bytes of the key and the record.
    """
    part = keys.text(task.task_id)
    key = keys.writes(thread, namespace, checkpoint_id) + part
    rows = [(w.index, w.channel, w.path, w.value) for w in task.writes.values()]
    payload = envelope.encode((task.task_id if keys.is_truncated(part) else None, rows))
    sealed = envelope.seal(key, envelope.pack(payload, level))
    writer.put(key, sealed)
    return len(key) + len(sealed)


def of_checkpoint(
    reader: Reader, thread: int, namespace: int, checkpoint_id: str
) -> list[tuple[str, Write]]:
    """Task id and write of all pending writes of a checkpoint, by task path, task id and index."""
    prefix = keys.writes(thread, namespace, checkpoint_id)
    found = [
        (task.task_id, write)
        for task in (decode(k, prefix, r) for k, r in reader.range(prefix, keys.prefix_end(prefix)))
        for write in task.writes.values()
    ]
    if len(found) > 1:
        found.sort(key=lambda row: (row[1].path, row[0], row[1].index))
    return found


def in_namespace(reader: Reader, thread: int, namespace: int) -> Iterator[TaskWrites]:
    """Every record of pending writes in a namespace."""
    prefix = keys.of_namespace(keys.Kind.WRITES, thread, namespace)
    for key, record in reader.range(prefix, keys.prefix_end(prefix)):
        end = keys.escaped_text_end(key, len(prefix))
        yield decode(key, key[:end], record)


def remove(writer: Writer, thread: int, namespace: int, checkpoint_id: str) -> None:
    """Delete the pending writes of a checkpoint."""
    prefix = keys.writes(thread, namespace, checkpoint_id)
    writer.delete_range(prefix, keys.prefix_end(prefix))
