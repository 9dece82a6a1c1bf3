"""Checkpoint records, and the indexes that lead to them: by parent and by index term.

An index term is the hash of one property of a checkpoint. The hash of its run id is an example.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from langgraph.checkpoint.lmdb.engine import layers
from langgraph.checkpoint.lmdb.engine.chunks import StoredValue, stored_value
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

Version: TypeAlias = "int | float | str"
_FIELD_TYPES = envelope.field_types(
    int,
    *[envelope.OPTIONAL_TEXT] * 3,
    *[list] * 2,
    *[dict] * 2,
    *[bytes] * 2,
    envelope.OPTIONAL_TEXT,
)


@dataclass(slots=True, kw_only=True)
class CheckpointRecord:
    """The record of a checkpoint."""

    id: str
    parent: str | None
    stored_at: int
    """Time of the put, in milliseconds since the epoch."""
    run_id: str | None
    root: str | None
    """Id of the root-namespace checkpoint that called the graph of this checkpoint."""
    body: StoredValue
    """The checkpoint without its channels, serialized."""
    metadata: StoredValue
    versions: dict[str, Version]
    values: dict[str, StoredValue]
    """Value of each channel that has one; the channel's version is in `versions`."""
    terms: list[bytes]
    """Index terms that lead to this checkpoint."""
    thread_terms: list[bytes]
    """Index terms that lead to this checkpoint's thread."""

    def payload(self) -> bytes:
        """Return the record's bytes. They hold the id only if the key holds it truncated."""
        return envelope.encode(
            (
                self.stored_at,
                self.parent,
                self.run_id,
                self.root,
                self.body,
                self.metadata,
                self.versions,
                self.values,
                b"".join(self.terms),
                b"".join(self.thread_terms),
                self.id if keys.is_truncated(keys.text(self.id)) else None,
            )
        )


def write(
    writer: Writer, namespace: NamespaceRef, record: CheckpointRecord, level: int | None
) -> int:
    """Store a record and its index entries; the caller has removed the record with the same id.

    Returns:
        Bytes of the key and the record.
    """
    key = keys.checkpoint(namespace, record.id)
    sealed = envelope.seal(key, envelope.pack(record.payload(), level))
    writer.put(key, sealed)
    write_index(writer, namespace, record)
    return len(key) + len(sealed)


def write_index(writer: Writer, namespace: NamespaceRef, record: CheckpointRecord) -> None:
    """Write the index entries that lead to a checkpoint and to its thread."""
    for entry in _index_entries(namespace, record):
        writer.put(entry, b"")
    for term in record.thread_terms:
        entry = keys.thread_with_term(term, namespace.thread)
        if writer.get(entry) is None:
            writer.put(entry, b"")


def remove(writer: Writer, namespace: NamespaceRef, record: CheckpointRecord) -> None:
    """Delete a record and the index entries that lead to it.

    Index entries that lead to the thread are kept: other checkpoints may need them.
    """
    writer.discard(keys.checkpoint(namespace, record.id))
    for entry in _index_entries(namespace, record):
        writer.discard(entry)


def _index_entries(namespace: NamespaceRef, record: CheckpointRecord) -> Iterator[bytes]:
    if record.parent is not None:
        yield keys.children(namespace, record.parent) + keys.text(record.id)
    for term in record.terms:
        yield keys.with_term(term, record.id, namespace)


def read(reader: Reader, namespace: NamespaceRef, checkpoint_id: str) -> CheckpointRecord | None:
    """Return the checkpoint of this id, or None."""
    key = keys.checkpoint(namespace, checkpoint_id)
    record = layers.merged(reader, namespace).get(key)
    return None if record is None else decode(key, record)


def is_stored(reader: Reader, namespace: NamespaceRef, checkpoint_id: str) -> bool:
    """Return True if there is a checkpoint of this id."""
    key = keys.checkpoint(namespace, checkpoint_id)
    return layers.merged(reader, namespace).get(key) is not None


def decode(key: bytes, record: bytes) -> CheckpointRecord:
    """Decode a checkpoint from its key and record.

    Raises:
        DamagedError: The record differs from what was stored.
    """
    fields = envelope.decode_fields(key, record, _FIELD_TYPES)
    stored_at, parent, run_id, root, body, metadata, versions, values = fields[:8]
    terms, thread_terms, full_id = fields[8:]
    if (
        not envelope.is_count(stored_at)
        or not all(map(_is_version, versions.values()))
        or not {str}.issuperset(map(type, [*versions, *values]))
        or (len(terms) | len(thread_terms)) % keys.HASH_SIZE
    ):
        envelope.raise_damaged(key, "unexpected field types")
    try:
        return CheckpointRecord(
            id=keys.whole_text(key, key[keys.namespace_end(key) :], full_id),
            parent=parent,
            stored_at=stored_at,
            run_id=run_id,
            root=root,
            body=stored_value(body),
            metadata=stored_value(metadata),
            versions=versions,
            values={channel: stored_value(value) for channel, value in values.items()},
            terms=_split(terms),
            thread_terms=_split(thread_terms),
        )
    except ValueError as error:
        envelope.raise_damaged(key, f"unexpected field types: {error}")


def _split(terms: bytes) -> list[bytes]:
    return [terms[at : at + keys.HASH_SIZE] for at in range(0, len(terms), keys.HASH_SIZE)]


def _is_version(value: Any) -> bool:
    return isinstance(value, (int, float, str))


def in_namespace(reader: Reader, namespace: NamespaceRef) -> Iterator[CheckpointRecord]:
    """List the checkpoints of a namespace, in key order."""
    for record, _ in sized(reader, namespace):
        yield record


def sized(reader: Reader, namespace: NamespaceRef) -> Iterator[tuple[CheckpointRecord, int]]:
    """List the checkpoints of a namespace, each with the bytes of its key and record."""
    prefix = keys.checkpoints(namespace)
    shown = layers.merged(reader, namespace)
    for key, record in shown.range(prefix, keys.prefix_end(prefix)):
        yield decode(key, record), len(key) + len(record)


def ids(reader: Reader, namespace: NamespaceRef) -> Iterator[str]:
    """List the checkpoint ids of a namespace, in key order. No id may be truncated."""
    prefix = keys.checkpoints(namespace)
    for key in layers.merged(reader, namespace).keys(prefix, keys.prefix_end(prefix)):
        yield keys.decoded(key[len(prefix) :], key)


def latest_before(reader: Reader, namespace: NamespaceRef, before: str | None = None) -> str | None:
    """Return the greatest checkpoint id of a namespace, or the greatest below `before`.

    One seek, whatever the length of the history. Truncated ids with the same prefix are compared in
    full, since their keys do not sort.
    """
    reader = layers.merged(reader, namespace)
    prefix = keys.checkpoints(namespace)
    stop = keys.prefix_end(prefix)
    if before is not None:
        part = keys.text(before)
        stop = prefix + part
        if keys.is_truncated(part):
            group = prefix + keys.truncated_prefix(part)
            found = _greatest(reader, group, before)
            if found is not None:
                return found
            stop = group
    key = reader.first_key(prefix, stop, reverse=True)
    if key is None:
        return None
    part = key[len(prefix) :]
    if keys.is_truncated(part):
        return _greatest(reader, prefix + keys.truncated_prefix(part), None)
    return keys.decoded(part, key)


def _greatest(reader: Reader, group: bytes, before: str | None) -> str | None:
    ids = (decode(key, record).id for key, record in reader.range(group, keys.prefix_end(group)))
    return max((i for i in ids if before is None or keys.utf8(i) < keys.utf8(before)), default=None)


def ancestry(
    reader: Reader, namespace: NamespaceRef, checkpoint: CheckpointRecord
) -> Iterator[CheckpointRecord]:
    """Yield a checkpoint, its parent, and so on; a loop ends the chain."""
    current: CheckpointRecord | None = checkpoint
    seen: set[str] = set()
    while current is not None and current.id not in seen:
        seen.add(current.id)
        yield current
        parent = current.parent
        current = None if parent is None else read(reader, namespace, parent)


def child_ids(reader: Reader, namespace: NamespaceRef, parent_id: str) -> list[str]:
    """List the ids of the checkpoints whose parent is the given one, ascending."""
    reader = layers.merged(reader, namespace)
    prefix = keys.children(namespace, parent_id)
    ids: list[str] = []
    for key in reader.keys(prefix, keys.prefix_end(prefix)):
        checkpoint = keys.checkpoints(namespace) + key[len(prefix) :]
        record = reader.get(checkpoint)
        if record is None:
            envelope.raise_damaged(checkpoint, "the index of children names it, but it is missing")
        found = decode(checkpoint, record)
        if found.parent == parent_id:  # else a parent with the same hash
            ids.append(found.id)
    return sorted(ids)


def with_term(reader: Reader, term: bytes) -> Iterator[tuple[NamespaceRef, bytes]]:
    """List namespace and key of each checkpoint with a term.

    A term is a hash, so the result may include checkpoints with another property.
    """
    prefix = keys.term(term)
    for key in reader.keys(prefix, keys.prefix_end(prefix)):
        namespace, part = _with_term(key, len(prefix))
        yield namespace, keys.checkpoints(namespace) + part


def _with_term(key: bytes, at: int) -> tuple[NamespaceRef, bytes]:
    part, at = keys.read_sortable_text(key, at)
    thread, at = keys.read_number(key, at)
    return NamespaceRef(thread, keys.read_number(key, at)[0]), part


class WithTerm(NamedTuple):
    """A checkpoint that an index entry leads to."""

    id: str
    namespace: NamespaceRef


def newest_with_term(
    reader: Reader, term: bytes, before: bytes | None, count: int
) -> tuple[list[WithTerm], bytes]:
    """Return checkpoints with a term, by descending id.

    Args:
        reader: A snapshot.
        term: The index term.
        before: Position where the last call ended. None: begin at the greatest id.
        count: Approximate number of checkpoints to return. An empty result is the end.

    Returns:
        The checkpoints, and the position where the next call begins.
    """
    prefix = keys.term(term)
    found: list[WithTerm] = []
    group = b""
    stop = keys.prefix_end(prefix) if before is None else before
    for key in reader.keys(prefix, stop, reverse=True):
        namespace, part = _with_term(key, len(prefix))
        if len(found) >= count and not (group and part.startswith(group)):
            break
        group = keys.truncated_prefix(part) if keys.is_truncated(part) else b""
        stop = key
        name = keys.decoded(part, key) if not group else None
        if name is None:
            checkpoint = keys.checkpoints(namespace) + part
            record = reader.get(checkpoint)
            if record is None:
                envelope.raise_damaged(checkpoint, "an index names it, but it is missing")
            name = decode(checkpoint, record).id
        found.append(WithTerm(name, namespace))
    found.sort(key=lambda row: keys.utf8(row.id), reverse=True)
    return found, stop


def with_term_before(term: bytes, before: str) -> bytes:
    """Return the position at which `newest_with_term` finds every id below `before`."""
    part = keys.text(before)
    if keys.is_truncated(part):  # truncated ids with the same prefix do not sort
        return keys.prefix_end(keys.term(term) + keys.sortable_truncated_prefix(part))
    return keys.term(term) + keys.sortable_text(before)


def threads_with_term(reader: Reader, term: bytes) -> Iterator[int]:
    """List the numbers of the threads with a term. As in `with_term`, there may be too many."""
    prefix = keys.thread_term(term)
    for key in reader.keys(prefix, keys.prefix_end(prefix)):
        yield keys.read_number(key, len(prefix))[0]
