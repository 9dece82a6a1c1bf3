"""Checkpoint records, and the indexes that lead to them: by parent and by label.

A label is a hash that stands for one property of a checkpoint, such as its run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from langgraph.checkpoint.lmdb.engine.chunks import StoredValue, stored_value
from langgraph.checkpoint.lmdb.format import envelope, keys

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
    terms: list[bytes]
    """What an index leads to this checkpoint by."""
    thread_terms: list[bytes]
    """What an index leads to its thread by."""

    def payload(self) -> bytes:
        """The record's bytes. The id is part of the key, which holds it whole unless it is long."""
        return envelope.encode(
            (
                self.stored,
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
    writer: Writer, thread: int, namespace: int, record: CheckpointRecord, level: int | None
) -> int:
    """Store a record with its index entries; the caller has removed one of the same id.

    Returns:
        The bytes of the key and the record.
    """
    key = keys.checkpoint(thread, namespace, record.id)
    sealed = envelope.seal(key, envelope.pack(record.payload(), level))
    writer.put(key, sealed)
    for entry in _index_entries(thread, namespace, record):
        writer.put(entry, b"")
    for term in record.thread_terms:
        entry = keys.thread_with_term(term, thread)
        if writer.get(entry) is None:
            writer.put(entry, b"")
    return len(key) + len(sealed)


def remove(writer: Writer, thread: int, namespace: int, record: CheckpointRecord) -> None:
    """Delete a record and the index entries that lead to it; those that lead to its thread may
    be needed by other checkpoints."""
    writer.delete(keys.checkpoint(thread, namespace, record.id))
    for entry in _index_entries(thread, namespace, record):
        writer.delete(entry)


def _index_entries(thread: int, namespace: int, record: CheckpointRecord) -> Iterator[bytes]:
    if record.parent is not None:
        yield keys.children(thread, namespace, record.parent) + keys.text(record.id)
    for term in record.terms:
        yield keys.with_term(term, record.id, thread, namespace)


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
    fields: list[Any] = envelope.decode(key, envelope.unseal(key, record))
    try:
        stored, parent, run_id, root, body, metadata, versions, values = fields[:8]
        terms, thread_terms, full_id = fields[8:]
        part = key[len(keys.checkpoints(thread, namespace)) :]
        if (
            not all(map(envelope.is_text, (parent, run_id, root, full_id)))
            or not envelope.is_count(stored)
            or not all(map(_is_version, versions.values()))
            or not {str}.issuperset(map(type, [*versions, *values]))
            or not {bytes}.issuperset((type(terms), type(thread_terms)))
            or (len(terms) | len(thread_terms)) % keys.HASH_SIZE
            or (keys.is_truncated(part) if full_id is None else keys.text(full_id) != part)
        ):
            raise ValueError("some are of another kind")
        return CheckpointRecord(
            keys.decoded(part, key) if full_id is None else full_id,
            parent,
            stored,
            run_id,
            root,
            stored_value(body),
            stored_value(metadata),
            versions,
            {channel: stored_value(value) for channel, value in values.items()},
            _split(terms),
            _split(thread_terms),
        )
    except (AttributeError, TypeError, ValueError) as error:
        envelope.raise_damaged(key, f"its fields are not those of a checkpoint: {error}")


def _split(terms: bytes) -> list[bytes]:
    return [terms[at : at + keys.HASH_SIZE] for at in range(0, len(terms), keys.HASH_SIZE)]


def _is_version(value: Any) -> bool:
    return isinstance(value, (int, float, str))


def in_namespace(reader: Reader, thread: int, namespace: int) -> Iterator[CheckpointRecord]:
    """All checkpoints of a namespace, in the order of their keys."""
    for record, _ in sized(reader, thread, namespace):
        yield record


def sized(reader: Reader, thread: int, namespace: int) -> Iterator[tuple[CheckpointRecord, int]]:
    """The same, each with the bytes of its key and record."""
    prefix = keys.checkpoints(thread, namespace)
    for key, record in reader.range(prefix, keys.prefix_end(prefix)):
        yield decode(key, record, thread, namespace), len(key) + len(record)


def latest_before(
    reader: Reader, thread: int, namespace: int, before: str | None = None
) -> str | None:
    """The greatest checkpoint id of a namespace, or the greatest below `before`.

    One seek, whatever the length of the history. Ids that keys hold cut sort right only up to the
    cut, so those that share it are compared in full.
    """
    prefix = keys.checkpoints(thread, namespace)
    stop = keys.prefix_end(prefix)
    if before is not None:
        part = keys.text(before)
        stop = prefix + part
        if keys.is_truncated(part):
            group = prefix + keys.truncated_prefix(part)
            found = _greatest(reader, thread, namespace, group, before)
            if found is not None:
                return found
            stop = group
    for key in reader.keys(prefix, stop, reverse=True):
        part = key[len(prefix) :]
        if keys.is_truncated(part):
            return _greatest(reader, thread, namespace, prefix + keys.truncated_prefix(part), None)
        return keys.decoded(part, key)
    return None


def _greatest(
    reader: Reader, thread: int, namespace: int, group: bytes, before: str | None
) -> str | None:
    ids = (
        decode(key, record, thread, namespace).id
        for key, record in reader.range(group, keys.prefix_end(group))
    )
    return max((i for i in ids if before is None or keys.utf8(i) < keys.utf8(before)), default=None)


def child_ids(reader: Reader, thread: int, namespace: int, parent_id: str) -> list[str]:
    """The ids of the checkpoints that name this one as their parent, ascending."""
    prefix = keys.children(thread, namespace, parent_id)
    ids: list[str] = []
    for key in reader.keys(prefix, keys.prefix_end(prefix)):
        checkpoint = keys.checkpoints(thread, namespace) + key[len(prefix) :]
        record = reader.get(checkpoint)
        if record is None:
            envelope.raise_damaged(checkpoint, "the index of children names it, but it is missing")
        found = decode(checkpoint, record, thread, namespace)
        if found.parent == parent_id:  # else another id of the same hash
            ids.append(found.id)
    return sorted(ids)


def with_term(reader: Reader, term: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Thread, namespace and key of each checkpoint with a label (or with one of the same hash)."""
    prefix = keys.term(term)
    for key in reader.keys(prefix, keys.prefix_end(prefix)):
        thread, namespace, part = _with_term(key, len(prefix))
        yield thread, namespace, keys.checkpoints(thread, namespace) + part


def _with_term(key: bytes, at: int) -> tuple[int, int, bytes]:
    part, at = keys.read_sortable_text(key, at)
    thread, at = keys.read_number(key, at)
    namespace, _ = keys.read_number(key, at)
    return thread, namespace, part


class WithTerm(NamedTuple):
    """Where a checkpoint is that an index led to."""

    id: str
    thread: int
    namespace: int


def newest_with_term(
    reader: Reader, term: bytes, before: bytes | None, count: int
) -> tuple[list[WithTerm], bytes]:
    """Checkpoints with a label, by descending id.

    Args:
        before: Where the last call ended; None: from the greatest id on.
        count: How many, about; an empty list is the end.

    Returns:
        The checkpoints, and where to go on.
    """
    prefix = keys.term(term)
    found: list[WithTerm] = []
    group = b""
    stop = keys.prefix_end(prefix) if before is None else before
    for key in reader.keys(prefix, stop, reverse=True):
        thread, namespace, part = _with_term(key, len(prefix))
        if len(found) >= count and not (group and part.startswith(group)):
            break
        group = keys.truncated_prefix(part) if keys.is_truncated(part) else b""
        stop = key
        name = keys.decoded(part, key) if not group else None
        if name is None:
            checkpoint = keys.checkpoints(thread, namespace) + part
            record = reader.get(checkpoint)
            if record is None:
                envelope.raise_damaged(checkpoint, "an index names it, but it is missing")
            name = decode(checkpoint, record, thread, namespace).id
        found.append(WithTerm(name, thread, namespace))
    found.sort(key=lambda row: keys.utf8(row.id), reverse=True)
    return found, stop


def with_term_before(term: bytes, before: str) -> bytes:
    """Where `newest_with_term` has to begin so as not to miss an id below `before`."""
    part = keys.text(before)
    if keys.is_truncated(part):  # ids that share the cut do not sort among one another
        return keys.prefix_end(keys.term(term) + keys.sortable_truncated_prefix(part))
    return keys.term(term) + keys.sortable_text(before)


def threads_with_term(reader: Reader, term: bytes) -> Iterator[int]:
    """The numbers of the threads with a label (or with one of the same hash)."""
    prefix = keys.thread_term(term)
    for key in reader.keys(prefix, keys.prefix_end(prefix)):
        yield keys.read_number(key, len(prefix))[0]
