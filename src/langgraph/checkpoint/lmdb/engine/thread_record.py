"""The record of a thread, and what the time index and the counts have about the thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from types import NoneType
from typing import NamedTuple, TypeAlias

from langgraph.checkpoint.lmdb.engine import counts, layers, states, time_index
from langgraph.checkpoint.lmdb.engine.chunks import ThreadVersion
from langgraph.checkpoint.lmdb.engine.counts import Counts
from langgraph.checkpoint.lmdb.engine.fields_cache import FieldsCache
from langgraph.checkpoint.lmdb.engine.time_index import INDEX_LAG_MS
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind, Layer, NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Writer

MAX_TIME = 253_402_300_799_999
"""Milliseconds since the epoch at the end of the year 9999, where `datetime` ends."""
_MAX_COUNT = 1 << 60
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "number": int,
    "id": str,
    "created": int,
    "updated": int,
    "indexed_at": int,
    "generation": int,
    "next_segment": int,
    "next_namespace": int,
    "checkpoints": int,
    "writes": int,
    "size": int,
    "shared_owners": list,
    "ttl": (int, NoneType),
    "ttl_applied": bool,
    "needs_trim": bool,
    "oldest": (int, NoneType),
    "state": int,
    "layers": list,
    "line": (str, NoneType),
    "early": int,
}
"""Attributes of a thread in the order of its record, with their types."""
_FIELD_TYPES = envelope.field_types(*_FIELDS.values())
_TIMES = ("created", "updated", "indexed_at", "oldest")
_COUNTS = (
    "number",
    "generation",
    "next_segment",
    "next_namespace",
    "checkpoints",
    "writes",
    "size",
    "ttl",
    "state",
    "early",
)
_record_fields = attrgetter(*_FIELDS)
_known_fields = FieldsCache(1024)
"""About half a megabyte."""
_TimeFields: TypeAlias = "tuple[int, int | None, bool, bool, int | None, int | None, int]"


class _Indexed(NamedTuple):
    """The part of the counts and of the time index that belongs to a thread."""

    counts: Counts
    time_fields: _TimeFields | None
    """Fields that determine the entries of the time index. None: there are no entries."""


_NOT_INDEXED = _Indexed(counts.NOTHING, None)


@dataclass(slots=True)
class Thread:
    """The record of a thread. Times are in milliseconds since the epoch."""

    number: int
    id: str
    created: int
    updated: int
    """Time of the last put or put_writes, or of the last read that counts as activity."""
    indexed_at: int
    """Time of the thread in the time index: `updated`, or up to `INDEX_LAG_MS` earlier."""
    generation: int = 0
    """Number of times that chunks of the thread were freed or a checkpoint was replaced. A cache
    entry about the thread's chunks is valid while this number is unchanged."""
    next_segment: int = 0
    next_namespace: int = keys.ROOT + 1
    checkpoints: int = 0
    writes: int = 0
    """Pending writes."""
    size: int = 0
    """Bytes of the keys and records of its checkpoints, pending writes and compacted history, and
    of the chunks that it owns and uses. Its layers do not count."""
    shared_owners: list[int] = field(default_factory=list)
    """Numbers of the other threads whose chunks this thread uses."""
    ttl: int | None = None
    """Milliseconds from the last activity until the thread expires, or `NEVER`. None: the TTL of
    the saver's policy."""
    ttl_applied: bool = False
    """True once the TTL has expired and the pruning it asks for is done."""
    needs_trim: bool = False
    """True if checkpoints were stored since a limit on history was last applied."""
    oldest: int | None = None
    """Time of the oldest checkpoint that is not the latest of its namespace."""
    state: int = states.NO_CHECKPOINT
    """What the latest root checkpoint calls for; see `states`."""
    layers: tuple[Layer, ...] = ()
    """Its layers, the nearest first."""
    line: str | None = ""
    """None: its checkpoints may not be a line; see `tally.line_of`. Otherwise the greatest id
    outside of the root namespace, or an empty text if all checkpoints are in the root namespace."""
    early: int = 0
    """Pending writes whose checkpoint is not stored."""
    indexed: _Indexed | None = None
    """What the time index and the counts hold of the thread. None: nothing. Not in the record."""
    removed_terms: set[bytes] = field(default_factory=set)
    """Index terms of checkpoints removed in this transaction. Not in the record."""

    @property
    def thread_version(self) -> ThreadVersion:
        """Version of the thread's chunks, as `generation` describes it."""
        return ThreadVersion(self.number, self.generation)

    @property
    def root(self) -> NamespaceRef:
        """The root namespace."""
        return self.namespace(keys.ROOT)

    def namespace(self, number: int) -> NamespaceRef:
        """Return the namespace with a number."""
        return NamespaceRef(self.number, number, self.layers)

    @property
    def total_size(self) -> int:
        """Bytes of the thread and of its layers, which other threads may have, too."""
        return self.size + sum(layer.size for layer in self.layers)

    def new_segment(self) -> int:
        """Return the number of a new segment, which is even and was never used."""
        self.next_segment += 2
        return self.next_segment - 2

    def touch(self, now: int) -> None:
        """Record activity."""
        self.updated = now
        self.ttl_applied = False
        if not 0 <= now - self.indexed_at < INDEX_LAG_MS:
            self.indexed_at = now


def decode(key: bytes, record: bytes) -> Thread:
    """Decode a thread from its key and record.

    Raises:
        DamagedError: The record differs from what was stored.
    """
    known = _known_fields.get(key, record)
    thread = _decode(key, record) if known is None else Thread(*known)
    if known is None:
        _known_fields.put(key, record, _record_fields(thread))
    thread.shared_owners = thread.shared_owners.copy()
    is_layer = key.startswith(Kind.LAYER)
    thread.indexed = _Indexed(counts_of(thread), None if is_layer else _time_fields(thread))
    return thread


def _decode(key: bytes, record: bytes) -> Thread:
    fields = dict(zip(_FIELDS, envelope.decode_fields(key, record, _FIELD_TYPES), strict=True))
    counts = [fields[name] or 0 for name in _COUNTS]
    times = [fields[name] or 0 for name in _TIMES]
    if min(*counts, *times) < 0 or max(counts) > _MAX_COUNT or max(times) > MAX_TIME:
        envelope.raise_damaged(key, "some of its fields are out of bounds")
    thread = Thread(**{**fields, "layers": layers.decode(key, fields["layers"])})
    number = thread.number
    if key not in (keys.thread_number(number), keys.tombstone(number), keys.layer(number)):
        envelope.raise_damaged(key, "it belongs to another thread")
    if thread.shared_owners and not all(map(envelope.is_count, thread.shared_owners)):
        envelope.raise_damaged(key, "unexpected field types")
    return thread


def encode(thread: Thread) -> bytes:
    """Return the payload of the record of a thread."""
    return envelope.encode(_record_fields(thread))


def remember(key: bytes, record: bytes, thread: Thread) -> None:
    """Keep the fields of a thread for the next `decode` of this record."""
    _known_fields.put(key, record, _record_fields(thread))
    thread.shared_owners = thread.shared_owners.copy()  # the cache keeps the other list


def update_indexes(writer: Writer, thread: Thread, removed: bool = False) -> None:
    """Update the time index and the counts to what a thread has now, or to its removal."""
    old = thread.indexed or _NOT_INDEXED
    new = _NOT_INDEXED if removed else _Indexed(counts_of(thread), _time_fields(thread))
    if old.time_fields != new.time_fields:
        before = (
            () if old.time_fields is None else time_index.entries(thread.number, *old.time_fields)
        )
        after = (
            () if new.time_fields is None else time_index.entries(thread.number, *new.time_fields)
        )
        for entry in before:
            if entry not in after:
                writer.discard(entry.key())
        for entry in after:
            if entry not in before:
                writer.put(entry.key(), b"")
    if old.counts != new.counts:
        counts.change(writer, old.counts, new.counts)
    thread.indexed = new


def update_counts(writer: Writer, layer: Thread) -> None:
    """Update the counts to what a layer has now. The time index has no entries of a layer."""
    new = _Indexed(counts_of(layer), None)
    counts.change(writer, (layer.indexed or _NOT_INDEXED).counts, new.counts)
    layer.indexed = new


def entries(thread: Thread) -> list[time_index.TimeIndexEntry]:
    """Return the entries of the time index that a thread must have."""
    return time_index.entries(thread.number, *_time_fields(thread))


def counts_of(thread: Thread) -> Counts:
    """Return what a thread adds to the counts of the store."""
    seen = 1 if thread.checkpoints else 0
    return Counts(seen, thread.checkpoints, thread.writes, thread.size)


def _time_fields(thread: Thread) -> _TimeFields:
    """Return the fields that determine the entries of the time index."""
    is_indexed = states.is_indexed(thread.state)
    return (
        thread.indexed_at,
        thread.ttl,
        thread.ttl_applied,
        thread.needs_trim,
        thread.oldest,
        thread.state if is_indexed else None,
        thread.updated // time_index.STATE_LAG_MS * time_index.STATE_LAG_MS if is_indexed else 0,
    )
