"""Garbage: chunks go with the last checkpoint, write or folded history that names them.

A thread's arenas belong to it. Another thread that was copied from it pins what it uses of them;
chunks that only pins keep alive are noted as left behind, and go when the last pin does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import checkpoints, delta, keys, records, threads, writes
from langgraph.checkpoint.lmdb.engine.runs import Coverage, Run, decode_runs, encode_runs
from langgraph.checkpoint.lmdb.engine.values import Chunked, StoredValue, owned_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


def _values(reader: Reader, thread: Thread) -> Iterator[StoredValue]:
    for _, namespace in threads.namespaces(reader, thread):
        for record in checkpoints.in_namespace(reader, thread.number, namespace):
            yield record.body
            yield record.metadata
            yield from record.values.values()
        yield from writes.values(writes.in_namespace(reader, thread.number, namespace))
        yield from delta.folded_values(reader, thread.number, namespace)


def coverage(reader: Reader, thread: Thread) -> Coverage:
    """Every chunk and node that a thread's records need."""
    covered = Coverage()
    seen: set[tuple[int, bytes]] = set()
    for value in _values(reader, thread):
        if isinstance(value, Chunked) and (value.depth, value.root) not in seen:
            seen.add((value.depth, value.root))
            covered.add(owned_runs(reader, value))
    return covered


def collect(writer: Writer, thread: Thread) -> None:
    """Free what a thread no longer needs, after records of it were deleted or replaced.

    The caller saves the thread, or deletes its record if nothing is left of it.
    """
    needed = coverage(writer, thread)
    pinned = _pins(writer, thread.number)
    _free_outside(writer, thread.number, needed, pinned)
    _save(writer, keys.left_behind(thread.number), pinned.minus(needed).runs(thread.number))
    for owner in thread.owners:
        _save(writer, keys.pin(owner, thread.number), needed.runs(owner))
        _free_left_behind(writer, owner)
    thread.owners = sorted(needed.owners() - {thread.number})
    thread.generation += 1


def pin(writer: Writer, thread: Thread) -> None:
    """Pin what a thread, just copied, uses of other threads; the caller saves the thread."""
    needed = coverage(writer, thread)
    thread.owners = sorted(needed.owners() - {thread.number})
    for owner in thread.owners:
        _save(writer, keys.pin(owner, thread.number), needed.runs(owner))


def _pins(reader: Reader, owner: int) -> Coverage:
    pinned = Coverage()
    prefix = keys.pins(owner)
    for key, record in reader.range(prefix, keys.after(prefix)):
        pinned.add(_load(key, record))
    return pinned


def _load(key: bytes, record: bytes) -> list[Run]:
    try:
        return decode_runs(records.unseal(key, record))
    except (ValueError, IndexError) as error:
        records.damaged(key, f"its runs can't be read: {error}")


def _save(writer: Writer, key: bytes, runs: list[Run]) -> None:
    if runs:
        writer.put(key, records.seal(key, records.pack(encode_runs(runs), None)))
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


def _free_outside(writer: Writer, owner: int, needed: Coverage, pinned: Coverage) -> None:
    kept = Coverage()
    kept.add(needed.runs(owner))
    kept.add(pinned.runs(owner))
    for arena in list(_arenas(writer, owner)):
        prefix = keys.arena(owner, arena)
        at = prefix
        for start, stop in kept.ranges(owner, arena):
            writer.delete_range(at, prefix + keys.number(start))
            at = prefix + keys.number(stop)
        writer.delete_range(at, keys.after(prefix))


def _free_left_behind(writer: Writer, owner: int) -> None:
    key = keys.left_behind(owner)
    record = writer.get(key)
    if record is None:
        return
    left = Coverage()
    left.add(_load(key, record))
    pinned = _pins(writer, owner)
    for run in left.minus(pinned).runs():
        prefix = keys.arena(run.owner, run.arena)
        writer.delete_range(
            prefix + keys.number(run.start), prefix + keys.number(run.start + run.length)
        )
    kept = left.minus(left.minus(pinned))
    _save(writer, key, kept.runs())
