"""The checkpoint store on any key-value store: the layers above write through it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

from langgraph.checkpoint.lmdb.engine import (
    channel_history,
    checkpoints,
    garbage,
    namespaces,
    prune,
    records,
    states,
    tally,
    threads,
    writes,
)
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord, Version
from langgraph.checkpoint.lmdb.engine.chunk_writer import ChunkWriter
from langgraph.checkpoint.lmdb.engine.chunks import (
    ChunkedValue,
    InlineValue,
    NewValue,
    StoredResult,
    StoredValue,
    ThreadVersion,
    root_ranges,
)
from langgraph.checkpoint.lmdb.engine.dedup_cache import DedupCache
from langgraph.checkpoint.lmdb.engine.options import StateOf, StoreOptions
from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.engine.writes import Write
from langgraph.checkpoint.lmdb.errors import DamagedError, FormatVersionError, InvalidPathError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader, Writer

T = TypeVar("T")


class StaleError(Exception):
    """The thread has changed since an operation was prepared. Prepare it again."""


@dataclass(slots=True, kw_only=True)
class NewCheckpoint:
    """A checkpoint to store."""

    thread_id: str
    checkpoint_ns: str
    id: str
    parent: str | None
    run_id: str | None
    root: str | None
    body: NewValue | InlineValue
    metadata: NewValue | InlineValue
    versions: dict[str, Version]
    values: dict[str, NewValue | StoredValue]
    """Value of each channel that has one: a new value, or a value that the parent has."""
    terms: list[bytes]
    """Terms by which an index shall lead to the checkpoint."""
    thread_terms: list[bytes]
    """Terms by which an index shall lead to its thread."""
    parent_stored_at: int | None
    """Time of the parent's put, if known."""
    state: int | None
    """State of the thread if this is its latest root checkpoint, as long as there are no writes.
    None: it has to be computed."""
    thread_version: ThreadVersion | None
    """Version of the thread in which `values` name chunks. None: all values are new."""


@dataclass(slots=True, kw_only=True)
class NewWrites:
    """Pending writes of one task to store."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    task_id: str
    path: str
    rows: list[tuple[int, str, NewValue | StoredValue]]
    """Index, channel and value. With an index below 0 the last write wins, else the first."""
    kept_states: Container[int]
    """States of the thread that the writes cannot change."""
    thread_version: ThreadVersion | None


@dataclass(slots=True)
class Stored:
    """A checkpoint as it was stored."""

    thread_version: ThreadVersion
    record: CheckpointRecord
    values: list[StoredResult]
    """The stored form of its values, in the order in which they were passed."""


class CheckpointStore:
    """Checkpoints, channel values and pending writes of threads.

    Args:
        kv: The key-value store.
        options: The options of all operations.
        dedup_cache: The cache of positions of chunks.
    """

    def __init__(
        self,
        kv: KeyValueStore,
        options: StoreOptions,
        dedup_cache: DedupCache,
    ) -> None:
        self._kv = kv
        self.options = options
        self._segments: dict[tuple[NamespaceRef, str], int] = {}
        self.dedup_cache = dedup_cache
        open_format(kv)

    def with_state_of(self, state_of: StateOf) -> CheckpointStore:
        """Return the same store with another function that computes states."""
        other = copy.copy(self)
        other.options = replace(self.options, state_of=state_of)
        return other

    def snapshot(self) -> Snapshot:
        """Return a view of the store as it is now."""
        return Snapshot(self._kv.read(), self.options.is_hidden)

    def view(self, apply: Callable[[Snapshot], T]) -> T:
        """Run a function on a snapshot, as `KeyValueStore.view` does."""

        def run(reader: Reader) -> T:
            with Snapshot(nullcontext(reader), self.options.is_hidden) as snapshot:
                return apply(snapshot)

        return self._kv.view(run)

    def file_bytes(self) -> int:
        """Return the bytes that the store occupies on disk."""
        return self._kv.size()

    def put(self, writer: Writer, new: NewCheckpoint) -> Stored:
        """Store a checkpoint, in place of one with the same id."""
        thread, namespace = self._open_thread(
            writer, new.thread_id, new.checkpoint_ns, new.thread_version
        )
        if thread.layers and checkpoints.is_stored(writer, namespace, new.id):
            prune.detach(writer, thread)
            namespace = thread.namespace(namespace.number)
        chunks = ChunkWriter(writer, thread.thread_version, self.dedup_cache, self.options.level)
        results = [
            self._store(chunks, thread, namespace, channel, value)
            for channel, value in new.values.items()
        ]
        record = CheckpointRecord(
            id=new.id,
            parent=new.parent,
            stored_at=thread.updated,
            run_id=new.run_id,
            root=new.root,
            body=self._store(chunks, thread, namespace, "", new.body).value,
            metadata=self._store(chunks, thread, namespace, "", new.metadata).value,
            versions=new.versions,
            values=dict(zip(new.values, (result.value for result in results), strict=True)),
            terms=new.terms,
            thread_terms=new.thread_terms,
        )
        latest = checkpoints.latest_before(writer, namespace)
        replaced = _remove_replaced(writer, thread, namespace, new, latest)
        size = checkpoints.write(writer, namespace, record, self.options.level)
        if replaced:
            garbage.collect(writer, thread)
        else:
            thread.checkpoints += 1
            thread.size += size + chunks.written
            if thread.early:
                thread.early -= len(writes.of_checkpoint(writer, namespace, new.id))
            tally.continue_line(writer, thread, namespace, record, latest)
        thread.needs_trim = True
        if namespace == thread.root and (latest is None or latest <= new.id):
            if new.state is None or writes.has_any(writer, namespace, new.id):
                states.refresh_if_cheap(writer, thread, self.options.state_of)
            else:
                thread.state = new.state
        threads.save(writer, thread)
        return Stored(thread.thread_version, record, results)

    def put_writes(self, writer: Writer, new: NewWrites) -> None:
        """Store pending writes of a task, beside the writes that it has."""
        if not new.rows:  # no reason to create a thread
            return
        thread, namespace = self._open_thread(
            writer, new.thread_id, new.checkpoint_ns, new.thread_version
        )
        chunks = ChunkWriter(writer, thread.thread_version, self.dedup_cache, self.options.level)
        task = writes.read_task(writer, namespace, new.checkpoint_id, new.task_id)
        count = len(task.writes)
        of_layers = set() if task.size else {*task.writes}
        is_changed = lost = False
        for index, channel, value in new.rows:
            old = task.writes.get(index)
            if old is not None and index >= 0:
                continue
            if old is not None and index not in of_layers:
                lost = lost or isinstance(old.value, ChunkedValue)
            of_layers.discard(index)
            result = self._store(chunks, thread, namespace, channel, value)
            task.writes[index] = Write(index, channel, new.path, result.value)
            is_changed = True
        size = task.size
        if is_changed:
            size = writes.write_task(writer, namespace, new.checkpoint_id, task, self.options.level)
        added = len(task.writes) - count
        thread.writes += added
        if added and not checkpoints.is_stored(writer, namespace, new.checkpoint_id):
            thread.early += added
        if lost:
            prune.detach(writer, thread)
            namespace = thread.namespace(namespace.number)
            garbage.collect(writer, thread)
        else:
            thread.size += size - task.size + chunks.written
        if namespace == thread.root and thread.state not in new.kept_states:
            states.refresh_if_cheap(writer, thread, self.options.state_of)
        threads.save(writer, thread)

    def _open_thread(
        self,
        writer: Writer,
        thread_id: str,
        checkpoint_ns: str,
        thread_version: ThreadVersion | None,
    ) -> tuple[Thread, NamespaceRef]:
        """Return the thread and namespace to store in.

        An expired thread is revived if `thread_version` is given: a run has outlasted its TTL.
        Otherwise the expired thread is deleted and created again.

        Raises:
            StaleError: The thread is not at `thread_version`: what was prepared from caches or an
                older snapshot may be wrong.
        """
        now = self.options.now()
        thread = threads.find(writer, thread_id)
        if thread_version is not None and (
            thread is None or thread.thread_version != thread_version
        ):
            raise StaleError
        if thread is not None and thread_version is None and self.options.is_hidden(thread):
            prune.remove_thread(writer, thread, prune.PURGE_BATCH)
            thread = None
        if thread is None:
            thread = threads.create(writer, thread_id, now)
        thread.touch(now)
        return thread, namespaces.ensure(writer, thread, checkpoint_ns)

    def _store(
        self,
        chunks: ChunkWriter,
        thread: Thread,
        namespace: NamespaceRef,
        channel: str,
        value: NewValue | StoredValue,
    ) -> StoredResult:
        if not isinstance(value, NewValue):
            return StoredResult(value, [])
        key = (namespace, channel)
        segment = self._segments.get(key)
        # The transaction that numbered a segment may have been undone.
        if segment is None or segment >= thread.next_segment:
            segment = _segment_of(value.base, thread.number)
            if segment is None:
                segment = thread.new_segment()
            if len(self._segments) >= _MAX_KNOWN_SEGMENTS:
                self._segments.clear()
            self._segments[key] = segment
        return chunks.store(value, segment)


_MAX_KNOWN_SEGMENTS = 100_000


def _remove_replaced(
    writer: Writer,
    thread: Thread,
    namespace: NamespaceRef,
    new: NewCheckpoint,
    latest: str | None,
) -> bool:
    """Remove the checkpoint with the id of a new one; return True if there was one.

    Also updates `Thread.oldest`.
    """
    if latest is None:
        return False
    if latest < new.id:
        stored_at = new.parent_stored_at
        if stored_at is None or latest != new.parent:
            record = checkpoints.read(writer, namespace, latest)
            stored_at = thread.updated if record is None else record.stored_at
        if thread.oldest is None or stored_at < thread.oldest:
            thread.oldest = stored_at
        return False
    replaced = checkpoints.read(writer, namespace, new.id)
    if replaced is None:
        if thread.oldest is None or thread.updated < thread.oldest:
            thread.oldest = thread.updated
        return False
    checkpoints.remove(writer, namespace, replaced)
    channel_history.remove(writer, namespace, new.id)
    thread.removed_terms.update(replaced.thread_terms)
    return True


def _segment_of(base: ChunkedValue | None, thread: int) -> int | None:
    """Return the segment of the thread that a value of `base` continues in, or None."""
    if base is None:
        return None
    for chunks in reversed(root_ranges(base)):
        if chunks.owner == thread:
            return chunks.segment & ~1
    return None


def check_format(kv: KeyValueStore) -> bool:
    """Return True if the store names a format that this release reads, False if it is empty.

    Raises:
        FormatVersionError: The store has another format.
        InvalidPathError: The database is not a checkpoint store.
        DamagedError: The record of the format is damaged.
    """
    with kv.read() as reader:
        return _has_format(reader)


def _has_format(reader: Reader) -> bool:
    record = reader.get(keys.FORMAT)
    if record is None:
        if reader.first_key(b"\x00", b"\xff") is not None:
            raise InvalidPathError("the path holds an LMDB database that is not a checkpoint store")
        return False
    version = envelope.decode(keys.FORMAT, envelope.unseal(keys.FORMAT, record))
    if version not in envelope.SUPPORTED_VERSIONS:
        raise FormatVersionError(
            f"the store has format version {version}, this release reads "
            f"{', '.join(map(str, envelope.SUPPORTED_VERSIONS))}",
            found=version if isinstance(version, int) else None,
            supported=envelope.SUPPORTED_VERSIONS,
        )
    return True


def write_format(writer: Writer) -> None:
    """Write the record of the format version."""
    records.put(writer, keys.FORMAT, envelope.encode(envelope.FORMAT_VERSION))


def open_format(kv: KeyValueStore) -> None:
    """Check the format of the store; write it if the store is empty."""

    def create(writer: Writer) -> None:
        try:
            if not _has_format(writer):
                write_format(writer)
        except (DamagedError, InvalidPathError) as error:
            raise InvalidPathError(
                "another process has just made a store here, encrypted or of something else",
                advice="Open it again, with its key if it has one.",
            ) from error

    if not check_format(kv) and not kv.readonly:
        kv.write(create)
