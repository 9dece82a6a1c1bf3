"""Records of threads, which give ids of any length the short numbers in keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from types import NoneType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from langgraph.checkpoint.lmdb.engine import (
    counts,
    layers,
    namespaces,
    paging,
    records,
    states,
    time_index,
)
from langgraph.checkpoint.lmdb.engine.chunks import ThreadVersion
from langgraph.checkpoint.lmdb.engine.counts import Counts
from langgraph.checkpoint.lmdb.engine.fields_cache import FieldsCache
from langgraph.checkpoint.lmdb.engine.time_index import INDEX_LAG_MS
from langgraph.checkpoint.lmdb.errors import DamagedError, ThreadNotFoundError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind, Layer, NamespaceRef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.lmdb.engine.options import StoreOptions
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

ROOT = keys.ROOT
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
_known_numbers = FieldsCache(1024)
"""The numbers that the records of thread ids name."""
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
    next_namespace: int = ROOT + 1
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
        return self.namespace(ROOT)

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


def find(reader: Reader, thread_id: str) -> Thread | None:
    """Return the thread of this id, or None."""
    name = keys.thread_id(thread_id)
    record = reader.get(name)
    if record is None:
        return None
    thread = _read_named(reader, name, record)
    if thread.id != thread_id:
        envelope.raise_damaged(name, "it names another thread")
    return thread


def _read_named(reader: Reader, name: bytes, record: bytes) -> Thread:
    thread = by_number(reader, named(name, record))
    if thread is None:
        envelope.raise_damaged(name, "it does not name a thread")
    return thread


def named(name: bytes, record: bytes) -> int:
    """Return the number of a thread, from the key of its id and the record.

    Raises:
        DamagedError: The record differs from what was stored.
    """
    known = _known_numbers.get(name, record)
    if known is not None:
        return int(known[0])
    payload = envelope.unseal(name, record)
    number, end = keys.read_number(payload, 0)
    if end != len(payload):
        envelope.raise_damaged(name, "it does not name a thread")
    _known_numbers.put(name, record, (number,))
    return number


def read(reader: Reader, number: int) -> Thread | None:
    """Return the thread of this number, or None."""
    key = keys.thread_number(number)
    record = reader.get(key)
    return None if record is None else decode(key, record)


def by_number(reader: Reader, number: int) -> Thread | None:
    """Return the thread of this number; None if it is deleted and not purged yet.

    Raises:
        DamagedError: The thread is missing or damaged.
    """
    thread = read(reader, number)
    if thread is None and reader.get(keys.tombstone(number)) is None:
        envelope.raise_damaged(keys.thread_number(number), "the record of the thread is missing")
    return thread


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


def next_number(reader: Reader) -> int:
    """Return the number of the next thread or layer, greater than all numbers with records."""
    record = reader.get(keys.NEXT_THREAD)
    if record is not None:
        return keys.read_number(envelope.unseal(keys.NEXT_THREAD, record), 0)[0]
    records = reader.keys(Kind.THREAD, keys.prefix_end(Kind.THREAD), reverse=True)
    last = next(iter(records), None)  # there is one if damage took the record
    return 1 if last is None else keys.read_number(last, 1)[0] + 1


def create(writer: Writer, thread_id: str, now: int) -> Thread:
    """Create a thread, which the caller saves."""
    number = _new_number(writer)
    thread = Thread(number=number, id=thread_id, created=now, updated=now, indexed_at=now)
    _write_name(writer, thread)
    return thread


def _new_number(writer: Writer) -> int:
    if writer.many_writers:
        return writer.new_number()
    number = next_number(writer)
    records.put(writer, keys.NEXT_THREAD, keys.number(number + 1))
    return number


def _write_name(writer: Writer, thread: Thread) -> None:
    """Let the id of a thread lead to its number, which is new."""
    records.put(writer, keys.thread_id(thread.id), keys.number(thread.number))
    namespaces.write(writer, thread.root, "")


def split_off_layer(writer: Writer, thread: Thread) -> None:
    """Make the records of a thread a layer; the caller saves the thread, which has a new number."""
    layer = Thread(
        number=thread.number,
        id=thread.id,
        created=thread.created,
        updated=thread.updated,
        indexed_at=thread.indexed_at,
        generation=thread.generation,
        next_segment=thread.next_segment,
        next_namespace=thread.next_namespace,
        size=thread.size,
        shared_owners=thread.shared_owners,
    )
    _update_indexes(writer, thread, removed=True)
    writer.delete(keys.thread_number(layer.number))
    save_layer(writer, layer)
    thread.layers = (Layer(layer.number, layer.size), *thread.layers)
    thread.number = _new_number(writer)
    thread.generation = thread.next_segment = thread.size = 0
    thread.shared_owners = []
    _write_name(writer, thread)


def read_layer(reader: Reader, number: int) -> Thread | None:
    """Return the layer of this number, or None."""
    key = keys.layer(number)
    record = reader.get(key)
    return None if record is None else decode(key, record)


def read_any(reader: Reader, number: int) -> Thread | None:
    """Return the thread or layer of this number, or None."""
    return read(reader, number) or read_layer(reader, number)


def save_any(writer: Writer, thread: Thread) -> None:
    """Save a thread or layer that `read_any` returned."""
    if writer.raw(keys.layer(thread.number)) is None:
        save(writer, thread)
    else:
        save_layer(writer, thread)


def save_layer(writer: Writer, layer: Thread) -> None:
    """Write the record of a layer, and update the counts."""
    new = _Indexed(counts_of(layer), None)
    counts.change(writer, (layer.indexed or _NOT_INDEXED).counts, new.counts)
    layer.indexed = new
    records.put(writer, keys.layer(layer.number), _payload(layer))


def mark_layer_deleted(writer: Writer, layer: Thread) -> None:
    """Replace a layer by a tombstone, until `prune.purge` has removed its records."""
    _update_indexes(writer, layer, removed=True)
    writer.delete(keys.layer(layer.number))
    records.put(writer, keys.tombstone(layer.number), _payload(layer))


def set_ttl(writer: Writer, thread_id: str, ttl: int | None, options: StoreOptions) -> None:
    """Give a thread its own TTL.

    Args:
        writer: The write transaction.
        thread_id: The thread.
        ttl: Milliseconds, or `time_index.NEVER`. None: the TTL of the saver's policy.
        options: The options of the store.

    Raises:
        ThreadNotFoundError: The thread does not exist.
    """
    thread = options.find_thread(writer, thread_id)
    if thread is None or not thread.checkpoints:
        raise ThreadNotFoundError("the thread does not exist", thread_id=thread_id)
    thread.ttl = ttl
    thread.ttl_applied = False
    save(writer, thread)


def record_read(writer: Writer, thread_id: str, options: StoreOptions) -> None:
    """Count a read as activity of a thread. Do nothing for an unknown one."""
    thread = options.find_thread(writer, thread_id)
    if thread is not None:
        thread.touch(options.now())
        save(writer, thread)


def save(writer: Writer, thread: Thread) -> None:
    """Write a thread's record, and update the time index and the counts."""
    _update_indexes(writer, thread)
    key = keys.thread_number(thread.number)
    record = records.put(writer, key, _payload(thread))
    _known_fields.put(key, record, _record_fields(thread))
    thread.shared_owners = thread.shared_owners.copy()  # the cache keeps the other list


def _payload(thread: Thread) -> bytes:
    return envelope.encode(_record_fields(thread))


def _update_indexes(writer: Writer, thread: Thread, removed: bool = False) -> None:
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


def mark_deleted(writer: Writer, thread: Thread) -> None:
    """Replace a thread by a tombstone, until `prune.purge` has removed its records."""
    _update_indexes(writer, thread, removed=True)
    writer.delete(keys.thread_id(thread.id))
    writer.delete(keys.thread_number(thread.number))
    records.put(writer, keys.tombstone(thread.number), _payload(thread))


def find_tombstone(reader: Reader, number: int) -> Thread | None:
    """Return the deleted thread of this number, or None if its records were purged."""
    key = keys.tombstone(number)
    record = reader.get(key)
    return None if record is None else decode(key, record)


def all_threads(
    reader: Reader,
    on_damage: Callable[[DamagedError], None] | None = None,
    prefix: bytes = keys.Kind.THREAD_ID,
) -> Iterator[Thread]:
    """List all threads, by id.

    Args:
        reader: A snapshot.
        on_damage: Function to call for a thread that cannot be read. None: raise the error.
        prefix: Prefix of the keys of their ids.
    """

    def read_one(key: bytes) -> Thread | None:
        try:
            return _read_named(reader, key, reader.get(key) or b"")
        except DamagedError as error:
            if on_damage is None:
                raise
            on_damage(error)
            return None

    names = reader.keys(prefix, keys.prefix_end(prefix))
    for _, thread in paging.read_each(reader, read_one, names):
        if thread is not None:
            yield thread
