"""Checkpoint records, and the indexes that lead to them: by parent and by run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from langgraph.checkpoint.lmdb.engine import keys, records
from langgraph.checkpoint.lmdb.engine.values import StoredValue, stored_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

Version: TypeAlias = "int | float | str"


@dataclass(slots=True)
class CheckpointRecord:
    """A checkpoint as the store keeps it."""

    id: str
    parent: str | None
    stored: int
    """Milliseconds since the epoch."""
    run_id: str | None
    root: str | None
    """The checkpoint of the root namespace that this one's graph was called from."""
    body: StoredValue
    """What the checkpoint holds besides channels, in the caller's encoding."""
    metadata: StoredValue
    versions: dict[str, Version]
    values: dict[str, StoredValue]
    """Of each channel that has a value; its version is in `versions`."""

    def payload(self) -> bytes:
        """The record's bytes. The id is part of the key, which holds it whole unless it is long."""
        return records.encode(
            (
                self.stored,
                self.parent,
                self.run_id,
                self.root,
                self.body,
                self.metadata,
                self.versions,
                self.values,
                self.id if keys.is_cut(keys.text(self.id)) else None,
            )
        )


def write(
    writer: Writer, thread: int, namespace: int, record: CheckpointRecord, level: int | None
) -> None:
    """Store a record with its index entries; the caller has removed one of the same id."""
    key = keys.checkpoint(thread, namespace, record.id)
    writer.put(key, records.seal(key, records.pack(record.payload(), level)))
    if record.parent is not None:
        writer.put(keys.children(thread, namespace, record.parent) + keys.text(record.id), b"")
    if record.run_id is not None:
        writer.put(keys.run_member(record.run_id, thread, namespace, record.id), b"")


def remove(writer: Writer, thread: int, namespace: int, record: CheckpointRecord) -> None:
    """Delete a record and its index entries."""
    writer.delete(keys.checkpoint(thread, namespace, record.id))
    if record.parent is not None:
        writer.delete(keys.children(thread, namespace, record.parent) + keys.text(record.id))
    if record.run_id is not None:
        writer.delete(keys.run_member(record.run_id, thread, namespace, record.id))


def read(
    reader: Reader, thread: int, namespace: int, checkpoint_id: str
) -> CheckpointRecord | None:
    """The checkpoint of this id, if there is one."""
    key = keys.checkpoint(thread, namespace, checkpoint_id)
    record = reader.get(key)
    return None if record is None else decode(key, record, thread, namespace)


def decode(key: bytes, record: bytes, thread: int, namespace: int) -> CheckpointRecord:
    """A record from the bytes that are stored under its key.

    Raises:
        DamagedError: They are not what was stored there.
    """
    fields: list[Any] = records.decode(key, records.unseal(key, record))
    try:
        stored, parent, run_id, root, body, metadata, versions, values, full_id = fields
        return CheckpointRecord(
            full_id if full_id is not None else _id_in_key(key, thread, namespace),
            parent,
            stored,
            run_id,
            root,
            stored_value(body),
            stored_value(metadata),
            versions,
            {channel: stored_value(value) for channel, value in values.items()},
        )
    except (AttributeError, TypeError, ValueError) as error:
        records.damaged(key, f"its fields are not those of a checkpoint: {error}")


def _id_in_key(key: bytes, thread: int, namespace: int) -> str:
    part = key[len(keys.checkpoints(thread, namespace)) :]
    return part.decode("utf-8", "surrogatepass")


def in_namespace(reader: Reader, thread: int, namespace: int) -> Iterator[CheckpointRecord]:
    """All checkpoints of a namespace, in the order of their keys."""
    prefix = keys.checkpoints(thread, namespace)
    for key, record in reader.range(prefix, keys.after(prefix)):
        yield decode(key, record, thread, namespace)


def latest_before(
    reader: Reader, thread: int, namespace: int, before: str | None = None
) -> str | None:
    """The greatest checkpoint id of a namespace, or the greatest below `before`.

    One seek, whatever the length of the history. Ids that keys hold cut sort right only up to the
    cut, so those that share it are compared in full.
    """
    prefix = keys.checkpoints(thread, namespace)
    stop = keys.after(prefix)
    if before is not None:
        part = keys.text(before)
        stop = prefix + part
        if keys.is_cut(part):
            group = prefix + keys.cut_group(part)
            found = _greatest(reader, thread, namespace, group, before)
            if found is not None:
                return found
            stop = group
    for key in reader.keys(prefix, stop, reverse=True):
        part = key[len(prefix) :]
        if keys.is_cut(part):
            return _greatest(reader, thread, namespace, prefix + keys.cut_group(part), None)
        return part.decode("utf-8", "surrogatepass")
    return None


def _greatest(
    reader: Reader, thread: int, namespace: int, group: bytes, before: str | None
) -> str | None:
    ids = (
        decode(key, record, thread, namespace).id
        for key, record in reader.range(group, keys.after(group))
    )
    return max((i for i in ids if before is None or keys.utf8(i) < keys.utf8(before)), default=None)


def child_ids(reader: Reader, thread: int, namespace: int, parent_id: str) -> list[str]:
    """The ids of the checkpoints that name this one as their parent, ascending."""
    prefix = keys.children(thread, namespace, parent_id)
    ids: list[str] = []
    for key in reader.keys(prefix, keys.after(prefix)):
        checkpoint = keys.checkpoints(thread, namespace) + key[len(prefix) :]
        record = reader.get(checkpoint)
        if record is None:
            records.damaged(checkpoint, "the index of children names it, but it is missing")
        found = decode(checkpoint, record, thread, namespace)
        if found.parent == parent_id:  # else another id of the same hash
            ids.append(found.id)
    return sorted(ids)


def of_run(reader: Reader, run_id: str) -> Iterator[tuple[int, int, bytes]]:
    """Thread, namespace and key of each checkpoint that a run stored (or one of the same hash)."""
    prefix = keys.run(run_id)
    for key in reader.keys(prefix, keys.after(prefix)):
        thread, at = keys.read_number(key, len(prefix))
        namespace, at = keys.read_number(key, at)
        yield thread, namespace, keys.checkpoints(thread, namespace) + key[at:]
