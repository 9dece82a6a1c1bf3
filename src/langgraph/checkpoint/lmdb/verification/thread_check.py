"""A check of one thread's records in one snapshot: which are unreadable, and what they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

from langgraph.checkpoint.lmdb.engine import (
    channel_history,
    checkpoints,
    layers,
    namespaces,
    sharing,
    thread_record,
    writes,
)
from langgraph.checkpoint.lmdb.engine.chunks import StoredValue
from langgraph.checkpoint.lmdb.engine.tally import Head, Tally
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.errors import FormatVersionError, IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind, Layer, NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader
from langgraph.checkpoint.lmdb.models import Problem
from langgraph.checkpoint.lmdb.verification import index_check, key_scan, kinds
from langgraph.checkpoint.lmdb.verification.chunk_map import ChunkMap
from langgraph.checkpoint.lmdb.verification.value_check import ValueCheck

T = TypeVar("T")


class CheckpointKey(NamedTuple):
    """The part of a checkpoint's key that differs within a thread."""

    namespace: NamespaceRef
    part: bytes
    """The checkpoint id as the key holds it, truncated if it is long."""


OwnerKeys: TypeAlias = dict[tuple[NamespaceRef, bytes], CheckpointKey]
"""The checkpoints by namespace and by the id as the keys of their writes and history hold it."""


@dataclass(slots=True)
class CheckpointEntry:
    """A stored checkpoint."""

    id: str | None
    """Id, or None if the key has it truncated and the record is unreadable."""
    parent: str | None
    root: str | None
    stored_at: int
    """Time at which the checkpoint was stored, in milliseconds since the epoch."""
    readable: bool = True
    """True if the record is readable."""


class ThreadCheck:
    """A check of a thread's records.

    Args:
        reader: The snapshot.
        number: Number of the thread.

    Attributes:
        problems: Problems that were found.
        is_layer: True if the number belongs to a layer.
        live: True if the thread or layer has a record of its own, so that readers see it.
        thread: The thread's record, or None if it is missing or unreadable.
        names: Names of the namespaces.
        unnamed_namespaces: Keys of unreadable or wrong namespace records.
        used: Namespaces with checkpoints or pending writes.
        checkpoints: Stored checkpoints.
        broken: Checkpoints with a missing or damaged part.
        missing: Checkpoints that an index names, but that are not stored.
        lost_history: Checkpoints with unreadable compacted history.
        unreadable: Keys of other records that are unreadable or need an unreadable record.
        writes: Number of pending writes.
        early: Number of pending writes whose checkpoint is not stored.
        size: Bytes of keys and records, without chunks.
        chunks: Map of the stored chunks.
        values: Check of the values in the records, and the chunks that they need.
    """

    def __init__(self, reader: Reader, number: int) -> None:
        self.reader = reader
        self.number = number
        self.root = NamespaceRef(number, keys.ROOT)
        self.problems: list[Problem] = []
        starts = [kind + keys.number(number) for kind in key_scan.THREAD_KINDS]
        # A store on another machine reads all records of the thread now, in one trip.
        _ = [*reader.ranges((start, keys.prefix_end(start)) for start in starts)]
        self.key = keys.thread_number(number)
        self.is_layer = reader.raw(keys.layer(number)) is not None and reader.raw(self.key) is None
        if self.is_layer:
            self.key = keys.layer(number)
        self.live = reader.raw(self.key) is not None
        self.thread: Thread | None = None
        self.names: dict[NamespaceRef, str] = {}
        self.unnamed_namespaces: list[bytes] = []
        self.used: set[NamespaceRef] = set()
        self.checkpoints: dict[CheckpointKey, CheckpointEntry] = {}
        self.broken: set[CheckpointKey] = set()
        self.missing: set[CheckpointKey] = set()
        self.lost_history: set[CheckpointKey] = set()
        self.unreadable: list[bytes] = []
        self.writes = self.early = self.size = 0
        self.chunks = ChunkMap(reader)
        self.values = ValueCheck(reader, self.chunks)
        self._users: list[tuple[Thread, Layer | None]] = []

    def read_records(self) -> None:
        """Read the thread, its namespaces, checkpoints, pending writes, history and chunks."""
        if self.live:
            self.thread = self.decode(self.key, partial(self._decode_thread, self.key))
        if self.is_layer:
            with suppress(IntegrityError):  # reported where the damaged record is checked
                self._users = sharing.threads_of(self.reader, self.number)
        self._read_namespaces()
        entries: list[tuple[bytes, CheckpointKey | None]] = []
        for key, namespace, at in self._keys_of(Kind.CHECKPOINT):
            checkpoint_key = CheckpointKey(namespace, key[at:])
            found = self._read_checkpoint(key, checkpoint_key)
            entries += [(entry, checkpoint_key) for entry in found]
        self.check_index_entries(entries)
        owners = self._owner_keys()
        for key, namespace, at in self._keys_of(Kind.WRITES):
            self._read_writes(key, namespace, at, owners)
        for key, namespace, at in self._keys_of(Kind.COMPACTED):
            self._read_history(key, namespace, at, owners)
        for key, error in self.chunks.damaged(self.number):
            self.add_error(error, "a chunk is unreadable", key)
        for key in self.chunks.unknown_keys:
            self.add_problem(kinds.UNKNOWN, "the key among the chunks is malformed", key)
            self.unreadable.append(key)

    @property
    def has_unreadable(self) -> bool:
        """True if a record is unreadable, so that counts and references cannot be checked."""
        return bool(
            self.broken
            or self.unreadable
            or self.unnamed_namespaces
            or self.lost_history
            or (self.live and self.thread is None)
        )

    def add_problem(
        self,
        kind: str,
        message: str,
        record: bytes | None = None,
        *,
        checkpoint_key: CheckpointKey | None = None,
        channel: str | None = None,
    ) -> None:
        """Add a problem with its location: one for each thread that it concerns."""
        entry = None if checkpoint_key is None else self.checkpoints.get(checkpoint_key)
        self.problems += [
            Problem(
                kind,
                message,
                thread_id=thread_id,
                checkpoint_ns=None
                if checkpoint_key is None
                else self.names.get(checkpoint_key.namespace),
                checkpoint_id=None if entry is None else entry.id,
                channel=channel,
                record=None if record is None else record.hex(),
            )
            for thread_id in self._concerned(checkpoint_key)
        ]

    def _concerned(self, checkpoint_key: CheckpointKey | None) -> list[str | None]:
        """Return the ids of the threads that show a checkpoint, or any record of this number."""
        found: list[str | None] = [
            thread.id
            for thread, layer in self._users
            if layer is None
            or checkpoint_key is None
            or layers.shows(
                layer, checkpoint_key.namespace.number, Kind.CHECKPOINT, checkpoint_key.part
            )
        ]
        return found or [None if self.thread is None else self.thread.id]

    def add_error(
        self,
        error: IntegrityError,
        what: str,
        record: bytes,
        checkpoint_key: CheckpointKey | None = None,
    ) -> None:
        """Add the problem of an unreadable record; raise the error again if LMDB itself failed."""
        if getattr(error, "record", None) == "data.mdb":
            raise error
        kind = kinds.NEWER if isinstance(error, FormatVersionError) else kinds.DAMAGED
        self.add_problem(kind, f"{what}: {error.message}", record, checkpoint_key=checkpoint_key)

    def check_index_entries(self, entries: list[tuple[bytes, CheckpointKey | None]]) -> None:
        """Add a problem for each index entry that is missing.

        Args:
            entries: Keys of the entries, each with the checkpoint that it leads to.
        """
        if not self.live:  # a purge deletes the entries of a deleted thread in batches
            return
        found = self.reader.gather(partial(self.reader.raw, key) for key, _ in entries)
        for (key, checkpoint_key), row in zip(entries, found, strict=True):
            if row is None:
                text = "an index lacks an entry"
                self.add_problem(kinds.MISSING_INDEX, text, key, checkpoint_key=checkpoint_key)

    def total_size(self) -> int:
        """Return the bytes of the thread's records and of the thread's own chunks that it needs."""
        return self.size + self.chunks.stored_size(self.values.needed.ranges(self.number))

    def tally(self) -> Tally:
        """Return the counts of a thread without layers, if all checkpoints are readable."""
        heads: dict[NamespaceRef, list[Head]] = {}
        for (namespace, _), entry in self.checkpoints.items():
            row = Head(entry.id or "", entry.stored_at, entry.parent, entry.root)
            heads.setdefault(namespace, []).append(row)
        found = Tally()
        for namespace, rows in heads.items():
            found.add(namespace, rows, ())
        found.writes, found.early = self.writes, self.early
        return found

    def decode(self, key: bytes, decode: Callable[[bytes], T]) -> T | None:
        """Return what a function makes of a record; add a problem if the record is unreadable."""
        try:
            return decode(self.reader.get(key) or b"")
        except IntegrityError as error:
            self.add_error(error, "a record is unreadable", key)
            return None

    def _decode_thread(self, key: bytes, record: bytes) -> Thread:
        thread = thread_record.decode(key, record)
        if thread.number != self.number:
            envelope.raise_damaged(key, "the record is of another thread")
        return thread

    def _read_namespaces(self) -> None:
        prefix = keys.namespaces(self.number)
        for key in self.reader.keys(prefix, keys.prefix_end(prefix)):
            found = self.decode(key, partial(namespaces.decode, key))
            if found is None:
                self.unnamed_namespaces.append(key)
                continue
            name, number = found
            namespace = NamespaceRef(self.number, number)
            own = keys.namespace(self.number, name) == key
            if not own or namespace in self.names or (name == "") != (namespace == self.root):
                self.add_problem(kinds.DAMAGED, "a namespace has a wrong name or number", key)
                self.unnamed_namespaces.append(key)
                continue
            self.names[namespace] = name

    def _keys_of(self, kind: bytes) -> Iterator[tuple[bytes, NamespaceRef, int]]:
        """Yield the keys of a kind, each with its namespace and the offset after the namespace."""
        prefix = keys.of_thread(kind, self.number)
        for key in self.reader.keys(prefix, keys.prefix_end(prefix)):
            try:
                number, at = keys.read_number(key, len(prefix))
            except IntegrityError as error:
                self.add_error(error, "a key is malformed", key)
                self.unreadable.append(key)
                continue
            namespace = NamespaceRef(self.number, number)
            if kind != Kind.COMPACTED:
                self.used.add(namespace)
            yield key, namespace, at

    def _read_checkpoint(self, key: bytes, checkpoint_key: CheckpointKey) -> Iterable[bytes]:
        """Read a checkpoint; return the index entries that must lead to it."""
        namespace, part = checkpoint_key
        try:
            record = self.reader.get(key) or b""
            found = checkpoints.decode(key, record)
        except IntegrityError as error:
            name = None if keys.is_truncated(part) else part.decode("utf-8", "replace")
            self.checkpoints[checkpoint_key] = CheckpointEntry(name, None, None, 0, readable=False)
            self.broken.add(checkpoint_key)
            self.add_error(error, "a checkpoint is unreadable", key, checkpoint_key)
            return ()
        self.checkpoints[checkpoint_key] = CheckpointEntry(
            found.id, found.parent, found.root, found.stored_at
        )
        self.size += len(key) + len(record)
        values = [(None, found.body), (None, found.metadata), *found.values.items()]
        for channel, value in values:
            if not self._check_value(value, key, checkpoint_key, channel):
                self.broken.add(checkpoint_key)
        return index_check.entries_of_checkpoint(namespace, found)

    def _owner_keys(self) -> OwnerKeys:
        found: OwnerKeys = {}
        for checkpoint_key, entry in self.checkpoints.items():
            namespace, part = checkpoint_key
            if entry.id is not None:
                escaped = keys.escaped_text(entry.id)
            else:
                escaped = part.replace(b"\x00", b"\x00\xff") + b"\x00\x01"
            found[namespace, escaped] = checkpoint_key
        return found

    def _read_writes(self, key: bytes, namespace: NamespaceRef, at: int, owners: OwnerKeys) -> None:
        checkpoint_key = None
        try:
            end = keys.escaped_text_end(key, at)
            checkpoint_key = owners.get((namespace, key[at:end]))
            task = writes.decode(key, key[:end], self.reader.get(key) or b"")
        except IntegrityError as error:
            self.add_error(error, "pending writes are unreadable", key, checkpoint_key)
            self._set_aside(key, checkpoint_key, self.broken)
            return
        self.writes += len(task.writes)
        self.early += len(task.writes) if checkpoint_key is None else 0
        self.size += task.size
        for write in task.writes.values():
            if not self._check_value(write.value, key, checkpoint_key, write.channel):
                self._set_aside(key, checkpoint_key, self.broken)

    def _read_history(
        self, key: bytes, namespace: NamespaceRef, at: int, owners: OwnerKeys
    ) -> None:
        checkpoint_key = None
        try:
            end = keys.escaped_text_end(key, at)
            checkpoint_key = owners.get((namespace, key[at:end]))
            record = self.reader.get(key) or b""
            channel, seed, rows = channel_history.decode(key, record)
        except IntegrityError as error:
            self.add_error(error, "compacted history is unreadable", key, checkpoint_key)
            self._set_aside(key, checkpoint_key, self.lost_history)
            return
        if checkpoint_key is None or self.checkpoints[checkpoint_key].parent is not None:
            self.add_problem(
                kinds.ORPHAN, "compacted history without a checkpoint, or with a parent", key
            )
            self.unreadable.append(key)
            return
        self.size += len(key) + len(record)
        for value in [value for _, value in rows] + ([] if seed is None else [seed]):
            if not self._check_value(value, key, checkpoint_key, channel):
                self.lost_history.add(checkpoint_key)

    def _set_aside(
        self, key: bytes, checkpoint_key: CheckpointKey | None, damaged: set[CheckpointKey]
    ) -> None:
        """Add the checkpoint to the damaged ones, or the key to the unreadable records."""
        if checkpoint_key is None:
            self.unreadable.append(key)
        else:
            damaged.add(checkpoint_key)

    def _check_value(
        self,
        value: StoredValue,
        key: bytes,
        checkpoint_key: CheckpointKey | None,
        channel: str | None,
    ) -> bool:
        """Add a problem if a value is unreadable; return True if it is readable."""
        problem = self.values.problem(value)
        if problem is None:
            return True
        self.add_problem(
            problem.kind,
            problem.message,
            problem.record or key,
            checkpoint_key=checkpoint_key,
            channel=channel,
        )
        return False
