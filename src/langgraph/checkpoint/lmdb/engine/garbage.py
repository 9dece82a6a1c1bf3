"""Garbage: chunks go with the last checkpoint, write or folded history that names them.

A thread's arenas belong to it. Another thread that was copied from it pins what it uses of them;
chunks that only pins keep alive are noted as left behind, and go when the last pin does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import channel_history, checkpoints, threads, writes
from langgraph.checkpoint.lmdb.engine.chunks import Chunked, StoredValue, owned_runs
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import Coverage, Run, decode_runs, encode_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


@dataclass(slots=True)
class Holdings:
    """What the records of a thread add up to."""

    chunks: Coverage = field(default_factory=Coverage)
    """Every chunk and node that they need."""
    checkpoints: int = 0
    writes: int = 0
    size: int = 0
    """Of keys and records, chunks not included."""
    oldest: int | None = None
    labels: set[bytes] = field(default_factory=set)
    """That lead to the thread."""


def holdings(reader: Reader, thread: Thread) -> Holdings:
    """Go through all that a thread has."""
    held = Holdings()
    seen: set[tuple[int, bytes]] = set()

    def need(value: StoredValue) -> None:
        if isinstance(value, Chunked) and (value.depth, value.root) not in seen:
            seen.add((value.depth, value.root))
            held.chunks.add(owned_runs(reader, value))

    for _, namespace in threads.namespaces(reader, thread):
        stored: dict[str, int] = {}
        for record, size in checkpoints.sized(reader, thread.number, namespace):
            stored[record.id] = record.stored
            held.size += size
            held.labels.update(record.thread_labels)
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
        for values, size in channel_history.folded_values(reader, thread.number, namespace):
            held.size += size
            for value in values:
                need(value)
    return held


def _some(value: int | None) -> tuple[int, ...]:
    return () if value is None else (value,)


def collect(writer: Writer, thread: Thread) -> None:
    """Free what a thread no longer needs, after records of it were deleted or replaced.

    The caller saves the thread, or deletes its record if nothing is left of it.
    """
    held = holdings(writer, thread)
    needed = held.chunks
    pinned = _pins(writer, thread.number)
    _free_outside(writer, thread.number, [needed, pinned], None)
    _save(writer, keys.left_behind(thread.number), pinned.minus(needed).runs(thread.number))
    _settle_pins(writer, thread, needed)
    for label in thread.labels_gone - held.labels:
        writer.delete(keys.thread_labelled(label, thread.number))
    thread.labels_gone.clear()
    thread.generation += 1
    _note(writer, thread, held)


def release(writer: Writer, thread: Thread, budget: int | None) -> int:
    """Free the chunks of a thread without records, but for those that other threads need.

    Args:
        budget: How many chunks to delete at most.

    Returns:
        How many were deleted: `budget` means that there may be more.
    """
    pinned = _pins(writer, thread.number)
    _save(writer, keys.left_behind(thread.number), pinned.runs(thread.number))
    deleted = _free_outside(writer, thread.number, [pinned], budget)
    if deleted != budget:
        _settle_pins(writer, thread, Coverage())
    return deleted


def pin(writer: Writer, thread: Thread) -> None:
    """Pin what a thread, just copied, uses of other threads; the caller saves the thread."""
    held = holdings(writer, thread)
    _settle_pins(writer, thread, held.chunks)
    _note(writer, thread, held)


def restore_pins(writer: Writer, number: int, thread: Thread | None) -> set[int]:
    """Pin what a thread uses of others, and nothing else, whatever was noted; frees nothing. The
    caller saves the thread.

    Args:
        number: The thread's.
        thread: None if it is gone.

    Returns:
        The threads whose chunks it used, or uses.
    """
    held = Holdings() if thread is None else holdings(writer, thread)
    needed = held.chunks.owners() - {number}
    prefix = keys.pins(0)[:1]
    noted: set[int] = set()
    for key in list(writer.keys(prefix, keys.after(prefix))):
        owner, at = keys.read_number(key, len(prefix))
        if key[at:] == keys.number(number):
            noted.add(owner)
    for owner in needed | noted:
        _save(writer, keys.pin(owner, number), held.chunks.runs(owner))
    if thread is not None:
        thread.owners = sorted(needed)
        thread.generation += 1
        _note(writer, thread, held)
    return needed | noted


def restore_chunks(writer: Writer, number: int, thread: Thread | None) -> None:
    """Free the chunks of a thread that nobody needs, and note anew what only others need, after
    the pins of all threads were restored.

    Args:
        number: The thread's.
        thread: None if it is gone.
    """
    needed = Coverage() if thread is None else holdings(writer, thread).chunks
    pinned = _pins(writer, number)
    _free_outside(writer, number, [needed, pinned], None)
    _save(writer, keys.left_behind(number), pinned.minus(needed).runs(number))


def _settle_pins(writer: Writer, thread: Thread, needed: Coverage) -> None:
    owners = sorted(needed.owners() - {thread.number})
    for owner in {*owners, *thread.owners}:
        _save(writer, keys.pin(owner, thread.number), needed.runs(owner))
        if owner in thread.owners:
            _free_left_behind(writer, owner)
    thread.owners = owners


def _note(reader: Reader, thread: Thread, held: Holdings) -> None:
    thread.checkpoints = held.checkpoints
    thread.writes = held.writes
    thread.oldest = held.oldest
    thread.size = held.size + sum(
        len(key) + len(record)
        for run in held.chunks.runs(thread.number)
        for key, record in reader.range(*_bounds(run))
    )


def _pins(reader: Reader, owner: int) -> Coverage:
    pinned = Coverage()
    prefix = keys.pins(owner)
    for key, record in reader.range(prefix, keys.after(prefix)):
        pinned.add(load_runs(key, record))
    return pinned


def load_runs(key: bytes, record: bytes) -> list[Run]:
    """The runs of a record that consists of those of one owner, whom its key names.

    Raises:
        DamagedError: It is not what was stored under its key, or names chunks of another owner.
    """
    owner, _ = keys.read_number(key, 1)
    try:
        runs = decode_runs(envelope.unseal(key, record))
    except (ValueError, IndexError) as error:
        envelope.damaged(key, f"its runs can't be read: {error}")
    if any(run.owner != owner for run in runs):
        envelope.damaged(key, "it names chunks of another thread than its key does")
    return runs


def _save(writer: Writer, key: bytes, runs: list[Run]) -> None:
    if runs:
        writer.put(key, envelope.seal(key, envelope.pack(encode_runs(runs), None)))
    else:
        writer.delete(key)


def _arenas(reader: Reader, owner: int) -> Iterator[int]:
    """The arenas of a thread that hold chunks; one seek each."""
    prefix = keys.of_thread(b"d", owner)
    at, stop = prefix, keys.after(prefix)
    while True:
        first = next(iter(reader.keys(at, stop)), None)
        if first is None:
            return
        arena, _ = keys.read_number(first, len(prefix))
        yield arena
        at = keys.after(keys.arena(owner, arena))


def _free_outside(
    writer: Writer, owner: int, needed: Iterable[Coverage], budget: int | None
) -> int:
    kept = Coverage()
    for coverage in needed:
        kept.add(coverage.runs(owner))
    deleted = 0
    for arena in list(_arenas(writer, owner)):
        prefix = keys.arena(owner, arena)
        at = prefix
        for start, stop in [*kept.ranges(owner, arena), (None, None)]:
            end = keys.after(prefix) if start is None else prefix + keys.number(start)
            left = None if budget is None else budget - deleted
            deleted += clear(writer, at, end, left)
            if stop is not None:
                at = prefix + keys.number(stop)
    return deleted


def clear(writer: Writer, start: bytes, stop: bytes, budget: int | None) -> int:
    """Delete the keys of a range, at most so many; returns how many."""
    if budget is None:
        return writer.delete_range(start, stop)
    ahead = list(islice(writer.keys(start, stop), budget + 1))
    if len(ahead) > budget:
        stop = ahead[budget]
    return writer.delete_range(start, stop) if ahead else 0


def _free_left_behind(writer: Writer, owner: int) -> None:
    key = keys.left_behind(owner)
    record = writer.get(key)
    if record is None:
        return
    left = Coverage()
    left.add(load_runs(key, record))
    pinned = _pins(writer, owner)
    for run in left.minus(pinned).runs():
        writer.delete_range(*_bounds(run))
    kept = left.minus(left.minus(pinned))
    _save(writer, key, kept.runs())


def _bounds(run: Run) -> tuple[bytes, bytes]:
    prefix = keys.arena(run.owner, run.arena)
    return prefix + keys.number(run.start), prefix + keys.number(run.start + run.length)
