"""Garbage collection: a chunk is freed with the last checkpoint, write or history that uses it.

The segments of a thread belong to the thread. A copy of a thread uses chunks of its source, which a
record of shared references notes. Chunks of a thread that only copies use are noted as orphaned,
and freed when the last copy stops using them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import channel_history, checkpoints, threads, writes
from langgraph.checkpoint.lmdb.engine.chunks import ChunkedValue, StoredValue, owned_ranges
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import (
    ChunkRange,
    ChunkSet,
    decode_ranges,
    encode_ranges,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


@dataclass(slots=True)
class ThreadUsage:
    """The sum of what the records of a thread use and hold."""

    chunks: ChunkSet = field(default_factory=ChunkSet)
    """Every chunk and node that the records use."""
    checkpoints: int = 0
    writes: int = 0
    size: int = 0
    """Bytes of keys and records, without chunks."""
    oldest: int | None = None
    terms: set[bytes] = field(default_factory=set)
    """Terms by which an index leads to the thread."""


def measure_usage(reader: Reader, thread: Thread) -> ThreadUsage:
    """Read all records of a thread and return their sum."""
    held = ThreadUsage()
    seen: set[tuple[int, bytes]] = set()

    def need(value: StoredValue) -> None:
        if isinstance(value, ChunkedValue) and (value.depth, value.root) not in seen:
            seen.add((value.depth, value.root))
            held.chunks.add(owned_ranges(reader, value))

    for _, namespace in threads.namespaces(reader, thread):
        stored: dict[str, int] = {}
        for record, size in checkpoints.sized(reader, thread.number, namespace):
            stored[record.id] = record.stored
            held.size += size
            held.terms.update(record.thread_terms)
            for value in (record.body, record.metadata, *record.values.values()):
                need(value)
        held.checkpoints += len(stored)
        if stored:
            del stored[max(stored, key=keys.utf8)]
            held.oldest = min((*stored.values(), *_some(held.oldest)), default=None)
        for task in writes.in_namespace(reader, thread.number, namespace):
            held.writes += len(task.writes)
            held.size += task.size
            for write in task.writes.values():
                need(write.value)
        for values, size in channel_history.compacted_values(reader, thread.number, namespace):
            held.size += size
            for value in values:
                need(value)
    return held


def _some(value: int | None) -> tuple[int, ...]:
    return () if value is None else (value,)


def collect(writer: Writer, thread: Thread) -> None:
    """Free the chunks that a thread stopped using, after records were deleted or replaced.

    The caller saves the thread, or deletes it if it is empty.
    """
    held = measure_usage(writer, thread)
    needed = held.chunks
    pinned = _pins(writer, thread.number)
    _free_outside(writer, thread.number, [needed, pinned], None)
    _save(writer, keys.orphaned_chunks(thread.number), pinned.minus(needed).ranges(thread.number))
    _settle_pins(writer, thread, needed)
    for term in thread.removed_terms - held.terms:
        writer.delete(keys.thread_with_term(term, thread.number))
    thread.removed_terms.clear()
    thread.generation += 1
    _update_totals(writer, thread, held)


def free_chunks(writer: Writer, thread: Thread, budget: int | None) -> int:
    """Free the chunks of a thread without records, except those that other threads use.

    Args:
        writer: The write transaction.
        thread: The thread.
        budget: Chunks to delete at most. None: all.

    Returns:
        The number of chunks deleted. If it equals `budget`, there may be more.
    """
    pinned = _pins(writer, thread.number)
    _save(writer, keys.orphaned_chunks(thread.number), pinned.ranges(thread.number))
    deleted = _free_outside(writer, thread.number, [pinned], budget)
    if deleted != budget:
        _settle_pins(writer, thread, ChunkSet())
    return deleted


def add_shared_refs(writer: Writer, thread: Thread) -> None:
    """Note which chunks of other threads a new copy uses; the caller saves the thread."""
    held = measure_usage(writer, thread)
    _settle_pins(writer, thread, held.chunks)
    _update_totals(writer, thread, held)


def restore_pins(writer: Writer, number: int, thread: Thread | None) -> set[int]:
    """Rebuild the shared references of a thread. Does not free chunks.

    The caller saves the thread.

    Args:
        writer: The write transaction.
        number: The thread's number.
        thread: The thread. None: it was deleted.

    Returns:
        The threads whose chunks it used, or uses.
    """
    held = ThreadUsage() if thread is None else measure_usage(writer, thread)
    needed = held.chunks.owners() - {number}
    prefix = keys.shared_refs(0)[:1]
    noted: set[int] = set()
    for key in list(writer.keys(prefix, keys.prefix_end(prefix))):
        owner, at = keys.read_number(key, len(prefix))
        if key[at:] == keys.number(number):
            noted.add(owner)
    for owner in needed | noted:
        _save(writer, keys.shared_ref(owner, number), held.chunks.ranges(owner))
    if thread is not None:
        thread.shared_owners = sorted(needed)
        thread.generation += 1
        _update_totals(writer, thread, held)
    return needed | noted


def restore_chunks(writer: Writer, number: int, thread: Thread | None) -> None:
    """Free the unused chunks of a thread and rebuild the note of its orphaned chunks.

    The shared references of all threads have been rebuilt before.

    Args:
        writer: The write transaction.
        number: The thread's number.
        thread: The thread. None: it was deleted.
    """
    needed = ChunkSet() if thread is None else measure_usage(writer, thread).chunks
    pinned = _pins(writer, number)
    _free_outside(writer, number, [needed, pinned], None)
    _save(writer, keys.orphaned_chunks(number), pinned.minus(needed).ranges(number))


def _settle_pins(writer: Writer, thread: Thread, needed: ChunkSet) -> None:
    owners = sorted(needed.owners() - {thread.number})
    for owner in {*owners, *thread.shared_owners}:
        _save(writer, keys.shared_ref(owner, thread.number), needed.ranges(owner))
        if owner in thread.shared_owners:
            _free_left_behind(writer, owner)
    thread.shared_owners = owners


def _update_totals(reader: Reader, thread: Thread, held: ThreadUsage) -> None:
    thread.checkpoints = held.checkpoints
    thread.writes = held.writes
    thread.oldest = held.oldest
    thread.size = held.size + sum(
        len(key) + len(record)
        for chunk_range in held.chunks.ranges(thread.number)
        for key, record in reader.range(*_bounds(chunk_range))
    )


def _pins(reader: Reader, owner: int) -> ChunkSet:
    pinned = ChunkSet()
    prefix = keys.shared_refs(owner)
    for key, record in reader.range(prefix, keys.prefix_end(prefix)):
        pinned.add(load_ranges(key, record))
    return pinned


def load_ranges(key: bytes, record: bytes) -> list[ChunkRange]:
    """Return the chunk ranges of a record whose key names their owner.

    Raises:
        DamagedError: The record differs from what was stored, or names chunks of another owner.
    """
    owner, _ = keys.read_number(key, 1)
    try:
        ranges = decode_ranges(envelope.unseal(key, record))
    except (ValueError, IndexError) as error:
        envelope.raise_damaged(key, f"its runs can't be read: {error}")
    if any(chunk_range.owner != owner for chunk_range in ranges):
        envelope.raise_damaged(key, "it names chunks of another thread than its key does")
    return ranges


def _save(writer: Writer, key: bytes, ranges: list[ChunkRange]) -> None:
    if ranges:
        writer.put(key, envelope.seal(key, envelope.pack(encode_ranges(ranges), None)))
    else:
        writer.delete(key)


def _segments(reader: Reader, owner: int) -> Iterator[int]:
    """List the segments of a thread that hold chunks; one seek each."""
    prefix = keys.of_thread(keys.Kind.CHUNK, owner)
    at, stop = prefix, keys.prefix_end(prefix)
    while True:
        first = next(iter(reader.keys(at, stop)), None)
        if first is None:
            return
        segment, _ = keys.read_number(first, len(prefix))
        yield segment
        at = keys.prefix_end(keys.segment(owner, segment))


def _free_outside(
    writer: Writer, owner: int, needed: Iterable[ChunkSet], budget: int | None
) -> int:
    kept = ChunkSet()
    for coverage in needed:
        kept.add(coverage.ranges(owner))
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
    ahead = list(islice(writer.keys(start, stop), budget + 1))
    if len(ahead) > budget:
        stop = ahead[budget]
    return writer.delete_range(start, stop) if ahead else 0


def _free_left_behind(writer: Writer, owner: int) -> None:
    key = keys.orphaned_chunks(owner)
    record = writer.get(key)
    if record is None:
        return
    left = ChunkSet()
    left.add(load_ranges(key, record))
    pinned = _pins(writer, owner)
    for chunk_range in left.minus(pinned).ranges():
        writer.delete_range(*_bounds(chunk_range))
    kept = left.minus(left.minus(pinned))
    _save(writer, key, kept.ranges())


def _bounds(chunk_range: ChunkRange) -> tuple[bytes, bytes]:
    prefix = keys.segment(chunk_range.owner, chunk_range.segment)
    return prefix + keys.number(chunk_range.start), prefix + keys.number(
        chunk_range.start + chunk_range.length
    )
