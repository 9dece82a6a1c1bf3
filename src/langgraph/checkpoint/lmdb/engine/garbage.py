"""Garbage collection: a chunk is freed with the last checkpoint, write or history that uses it.

A thread owns its segments. A copy of a thread uses chunks of its source. A record of shared
references lists these chunks. Chunks that only copies use are listed as orphaned, and freed when
the last copy stops using them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from langgraph.checkpoint.lmdb.engine import (
    channel_history,
    checkpoints,
    namespaces,
    records,
    tally,
    writes,
)
from langgraph.checkpoint.lmdb.engine.chunks import ChunkedValue, StoredValue, owned_ranges
from langgraph.checkpoint.lmdb.engine.tally import Head, Tally
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import (
    ChunkRange,
    ChunkSet,
    decode_ranges,
    encode_ranges,
)
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


@dataclass(slots=True)
class ThreadUsage:
    """The chunks that the records of a thread use, and the counts of the records."""

    chunks: ChunkSet = field(default_factory=ChunkSet)
    """Every chunk and node that the records use."""
    tally: Tally = field(default_factory=Tally)
    size: int = 0
    """Bytes of keys and records, without chunks."""
    terms: set[bytes] = field(default_factory=set)
    """Index terms that lead to the thread."""


def measure_usage(reader: Reader, thread: Thread) -> ThreadUsage:
    """Read all records of a thread, but not of its layers, and return what they use."""
    usage = ThreadUsage()
    seen: set[tuple[int, bytes]] = set()
    seen_nodes: set[tuple[int, ChunkRange]] = set()

    def add_chunks(value: StoredValue) -> None:
        if isinstance(value, ChunkedValue) and (value.depth, value.root) not in seen:
            seen.add((value.depth, value.root))
            usage.chunks.add(owned_ranges(reader, value, seen_nodes))

    for _, namespace in namespaces.own(reader, thread.number):
        heads: list[Head] = []
        tasks: list[tuple[bytes, int]] = []
        for record, size in checkpoints.sized(reader, namespace):
            heads.append(tally.head(record))
            usage.size += size
            usage.terms.update(record.thread_terms)
            for value in (record.body, record.metadata, *record.values.values()):
                add_chunks(value)
        for checkpoint, task in writes.in_namespace(reader, namespace):
            tasks.append((checkpoint, len(task.writes)))
            usage.size += task.size
            for write in task.writes.values():
                add_chunks(write.value)
        for values, size in channel_history.compacted_values(reader, namespace):
            usage.size += size
            for value in values:
                add_chunks(value)
        usage.tally.add(namespace, heads, tasks)
    return usage


def collect(writer: Writer, thread: Thread) -> None:
    """Free the chunks that a thread stopped using, after records were deleted or replaced.

    The caller has dissolved the layers of the thread. It saves the thread, or deletes it if it is
    empty.
    """
    usage = measure_usage(writer, thread)
    used = usage.chunks
    shared = _shared_chunks(writer, thread.number)
    _free_except(writer, thread.number, [used, shared], None)
    _write_ranges(
        writer, keys.orphaned_chunks(thread.number), shared.minus(used).ranges(thread.number)
    )
    _update_shared_refs(writer, thread, used)
    for term in thread.removed_terms - usage.terms:
        writer.delete(keys.thread_with_term(term, thread.number))
    thread.removed_terms.clear()
    thread.generation += 1
    _update_totals(writer, thread, usage)


def free_chunks(writer: Writer, thread: Thread, budget: int | None) -> int:
    """Free the chunks of a thread without records, except those that other threads use.

    Args:
        writer: The write transaction.
        thread: The thread.
        budget: Chunks to delete at most. None: all.

    Returns:
        The number of chunks deleted. If it equals `budget`, there may be more.
    """
    shared = _shared_chunks(writer, thread.number)
    _write_ranges(writer, keys.orphaned_chunks(thread.number), shared.ranges(thread.number))
    deleted = _free_except(writer, thread.number, [shared], budget)
    if deleted != budget:
        _update_shared_refs(writer, thread, ChunkSet())
    return deleted


def add_shared_refs(writer: Writer, thread: Thread) -> None:
    """Write the shared references of a thread that has new records; the caller saves the thread."""
    usage = measure_usage(writer, thread)
    _update_shared_refs(writer, thread, usage.chunks)
    _update_totals(writer, thread, usage)


def rebuild_shared_refs(writer: Writer, number: int, thread: Thread | None) -> set[int]:
    """Rebuild the shared references of a thread. Does not free chunks.

    The caller saves the thread.

    Args:
        writer: The write transaction.
        number: The thread's number.
        thread: The thread. None: it was deleted.

    Returns:
        The numbers of the threads whose chunks it used or uses.
    """
    usage = ThreadUsage() if thread is None else measure_usage(writer, thread)
    owners = usage.chunks.owners() - {number}
    if thread is not None and thread.layers:
        owners = set()
    prefix = keys.Kind.SHARED_REFS
    listed: set[int] = set()
    for key in list(writer.keys(prefix, keys.prefix_end(prefix))):
        owner, at = keys.read_number(key, len(prefix))
        if key[at:] == keys.number(number):
            listed.add(owner)
    for owner in owners | listed:
        ranges = usage.chunks.ranges(owner) if owner in owners else []
        _write_ranges(writer, keys.shared_ref(owner, number), ranges)
    if thread is not None:
        thread.shared_owners = sorted(owners)
        thread.generation += 1
        _update_totals(writer, thread, usage)
    return owners | listed


def free_unused_chunks(writer: Writer, number: int, thread: Thread | None) -> None:
    """Free the unused chunks of a thread and rebuild the list of its orphaned chunks.

    The shared references of all threads must have been rebuilt before.

    Args:
        writer: The write transaction.
        number: The thread's number.
        thread: The thread. None: it was deleted.
    """
    used = ChunkSet() if thread is None else measure_usage(writer, thread).chunks
    shared = _shared_chunks(writer, number)
    _free_except(writer, number, [used, shared], None)
    _write_ranges(writer, keys.orphaned_chunks(number), shared.minus(used).ranges(number))


def _update_shared_refs(writer: Writer, thread: Thread, used: ChunkSet) -> None:
    owners = sorted(used.owners() - {thread.number})
    for owner in {*owners, *thread.shared_owners}:
        _write_ranges(writer, keys.shared_ref(owner, thread.number), used.ranges(owner))
        if owner in thread.shared_owners:
            free_orphaned_chunks(writer, owner)
    thread.shared_owners = owners


def _update_totals(reader: Reader, thread: Thread, usage: ThreadUsage) -> None:
    if not thread.layers and reader.raw(keys.layer(thread.number)) is None:
        _set_counts(thread, usage.tally)
    own = [_key_range(chunk_range) for chunk_range in usage.chunks.ranges(thread.number)]
    thread.size = usage.size + sum(reader.sizes(own))


def _set_counts(thread: Thread, found: Tally) -> None:
    thread.checkpoints = found.checkpoints
    thread.writes = found.writes
    thread.early = found.early
    thread.oldest = found.oldest
    thread.line = found.line


def _shared_chunks(reader: Reader, owner: int) -> ChunkSet:
    shared = ChunkSet()
    prefix = keys.shared_refs(owner)
    for key, record in reader.range(prefix, keys.prefix_end(prefix)):
        shared.add(load_ranges(key, record))
    return shared


def load_ranges(key: bytes, record: bytes) -> list[ChunkRange]:
    """Return the chunk ranges of a record whose key names their owner.

    Raises:
        DamagedError: The record differs from what was stored, or names chunks of another owner.
    """
    owner, _ = keys.read_number(key, 1)
    try:
        ranges = decode_ranges(envelope.unseal(key, record))
    except (ValueError, IndexError) as error:
        envelope.raise_damaged(key, f"its ranges are invalid: {error}")
    if any(chunk_range.owner != owner for chunk_range in ranges):
        envelope.raise_damaged(key, "it names chunks of another thread than its key does")
    return ranges


def _write_ranges(writer: Writer, key: bytes, ranges: list[ChunkRange]) -> None:
    if ranges:
        records.put(writer, key, encode_ranges(ranges))
    else:
        writer.delete(key)


def _segments(reader: Reader, owner: int) -> Iterator[int]:
    """List the segments of a thread that hold chunks; one seek each."""
    prefix = keys.of_thread(keys.Kind.CHUNK, owner)
    at, stop = prefix, keys.prefix_end(prefix)
    while (first := reader.first_key(at, stop)) is not None:
        segment, _ = keys.read_number(first, len(prefix))
        yield segment
        at = keys.prefix_end(keys.segment(owner, segment))


def _free_except(writer: Writer, owner: int, used: Iterable[ChunkSet], budget: int | None) -> int:
    """Delete the chunks of a thread that no set contains; return the number deleted."""
    kept = ChunkSet()
    for chunks in used:
        kept.add(chunks.ranges(owner))
    deleted = 0
    for segment in list(_segments(writer, owner)):
        prefix = keys.segment(owner, segment)
        at = prefix
        for start, stop in [*kept.intervals(owner, segment), (None, None)]:
            end = keys.prefix_end(prefix) if start is None else prefix + keys.number(start)
            left = None if budget is None else budget - deleted
            deleted += delete_up_to(writer, at, end, left)
            if stop is not None:
                at = prefix + keys.number(stop)
    return deleted


def delete_up_to(writer: Writer, start: bytes, stop: bytes, budget: int | None) -> int:
    """Delete at most `budget` keys of a range; return the number deleted."""
    if budget is None:
        return writer.delete_range(start, stop)
    found = list(islice(writer.keys(start, stop), budget + 1))
    if len(found) > budget:
        stop = found[budget]
    return writer.delete_range(start, stop) if found else 0


def free_orphaned_chunks(writer: Writer, owner: int) -> None:
    """Free the orphaned chunks of a thread that no other thread uses any more."""
    key = keys.orphaned_chunks(owner)
    record = writer.get(key)
    if record is None:
        return
    orphaned = ChunkSet()
    orphaned.add(load_ranges(key, record))
    unused = orphaned.minus(_shared_chunks(writer, owner))
    for chunk_range in unused.ranges():
        writer.delete_range(*_key_range(chunk_range))
    _write_ranges(writer, key, orphaned.minus(unused).ranges())


def _key_range(chunk_range: ChunkRange) -> tuple[bytes, bytes]:
    prefix = keys.segment(chunk_range.owner, chunk_range.segment)
    return prefix + keys.number(chunk_range.start), prefix + keys.number(
        chunk_range.start + chunk_range.length
    )
