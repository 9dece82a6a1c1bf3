"""Pending writes: one record per checkpoint and task. They may be stored before their
checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from langgraph.checkpoint.lmdb.engine import layers
from langgraph.checkpoint.lmdb.engine.chunks import StoredValue, stored_value
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

_FIELD_TYPES = envelope.field_types(envelope.OPTIONAL_TEXT, list)


@dataclass(slots=True)
class Write:
    """A write of a task to a channel."""

    index: int
    """Position among the task's writes. Negative for channels that hold one write per task."""
    channel: str
    path: str
    """Path of the task, which orders the writes of one superstep."""
    value: StoredValue


@dataclass(slots=True)
class TaskWrites:
    """The writes of one task to one checkpoint."""

    task_id: str
    writes: dict[int, Write]
    size: int = 0
    """Bytes of the key and the record that they were read from. 0: it is not the thread's own."""


def decode(key: bytes, prefix: bytes, record: bytes) -> TaskWrites:
    """Decode the writes of a task from their key and record.

    Args:
        key: The key.
        prefix: The part of the key before the task id.
        record: The record.

    Raises:
        DamagedError: The record differs from what was stored.
    """
    full_id, rows = envelope.decode_fields(key, record, _FIELD_TYPES)
    task_id = keys.whole_text(key, key[len(prefix) :], full_id)
    try:
        for index, channel, path, _ in rows:
            if [type(index), type(channel), type(path)] != [int, str, str]:
                raise ValueError("a field has the wrong type")
        return TaskWrites(
            task_id,
            {
                index: Write(index, channel, path, stored_value(value))
                for index, channel, path, value in rows
            },
            len(key) + len(record),
        )
    except (TypeError, ValueError) as error:
        envelope.raise_damaged(key, f"unexpected field types: {error}")


def read_task(
    reader: Reader, namespace: NamespaceRef, checkpoint_id: str, task_id: str
) -> TaskWrites:
    """Return the stored writes of a task; may be empty."""
    prefix = keys.writes(namespace, checkpoint_id)
    key = prefix + keys.text(task_id)
    record = reader.get(key)
    if record is not None:
        return decode(key, prefix, record)
    record = layers.merged(reader, namespace).get(key)
    writes = {} if record is None else decode(key, prefix, record).writes
    return TaskWrites(task_id, writes)


def write_task(
    writer: Writer,
    namespace: NamespaceRef,
    checkpoint_id: str,
    task: TaskWrites,
    level: int | None,
) -> int:
    """Store the writes of a task, in place of its earlier record.

    Returns:
        Bytes of the key and the record.
    """
    part = keys.text(task.task_id)
    key = keys.writes(namespace, checkpoint_id) + part
    rows = [(w.index, w.channel, w.path, w.value) for w in task.writes.values()]
    payload = envelope.encode((task.task_id if keys.is_truncated(part) else None, rows))
    sealed = envelope.seal(key, envelope.pack(payload, level))
    writer.put(key, sealed)
    return len(key) + len(sealed)


def of_checkpoint(
    reader: Reader, namespace: NamespaceRef, checkpoint_id: str
) -> list[tuple[str, Write]]:
    """List task id and write of the pending writes of a checkpoint.

    Sorted by path, task id and index.
    """
    reader = layers.merged(reader, namespace)
    prefix = keys.writes(namespace, checkpoint_id)
    found = [
        (task.task_id, write)
        for task in (decode(k, prefix, r) for k, r in reader.range(prefix, keys.prefix_end(prefix)))
        for write in task.writes.values()
    ]
    if len(found) > 1:
        found.sort(key=lambda row: (row[1].path, row[0], row[1].index))
    return found


def has_any(reader: Reader, namespace: NamespaceRef, checkpoint_id: str) -> bool:
    """Return True if a checkpoint has pending writes."""
    prefix = keys.writes(namespace, checkpoint_id)
    return reader.first_key(prefix, keys.prefix_end(prefix)) is not None


def has_more_tasks(reader: Reader, namespace: NamespaceRef, checkpoint_id: str, count: int) -> bool:
    """Return True if more tasks than `count` have pending writes to a checkpoint."""
    prefix = keys.writes(namespace, checkpoint_id)
    found = layers.merged(reader, namespace).keys(prefix, keys.prefix_end(prefix))
    return any(True for _ in islice(found, count, None))


def in_namespace(
    reader: Reader, namespace: NamespaceRef, start: bytes | None = None
) -> Iterator[tuple[bytes, TaskWrites]]:
    """List the records of pending writes in a namespace, each with the escaped id of its
    checkpoint.

    Args:
        reader: A snapshot.
        namespace: The namespace.
        start: The first key to read. None: the first of the namespace.
    """
    prefix = keys.of_namespace(keys.Kind.WRITES, namespace)
    shown = layers.merged(reader, namespace)
    for key, record in shown.range(start or prefix, keys.prefix_end(prefix)):
        end = keys.escaped_text_end(key, len(prefix))
        yield key[len(prefix) : end], decode(key, key[:end], record)


def checkpoint_ids(reader: Reader, namespace: NamespaceRef) -> Iterator[str | None]:
    """List the ids of checkpoints with pending writes, stored or not; None for a truncated id."""
    reader = layers.merged(reader, namespace)
    prefix = at = keys.of_namespace(keys.Kind.WRITES, namespace)
    stop = keys.prefix_end(prefix)
    while (key := reader.first_key(at, stop)) is not None:
        checkpoint_id, end = keys.read_escaped_text(key, len(prefix))
        yield checkpoint_id
        at = keys.prefix_end(key[:end])


def remove(writer: Writer, namespace: NamespaceRef, checkpoint_id: str) -> None:
    """Delete the pending writes of a checkpoint."""
    prefix = keys.writes(namespace, checkpoint_id)
    writer.delete_range(prefix, keys.prefix_end(prefix))
