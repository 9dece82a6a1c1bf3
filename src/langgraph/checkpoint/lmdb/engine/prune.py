"""What goes and what stays: deleting threads and runs, and pruning history to its latest part."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import channel_history, checkpoints, garbage, threads, writes
from langgraph.checkpoint.lmdb.format import keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
    from langgraph.checkpoint.lmdb.engine.options import StoreOptions
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import Writer

PURGE_BATCH = 500
"""Records of a deleted thread that go in one transaction: writers wait for some milliseconds."""


def delete_thread(writer: Writer, thread: Thread, budget: int | None = None) -> bool:
    """Delete a thread and all that only it used.

    Args:
        budget: How many records to delete at most, about; the thread is out of sight at once.

    Returns:
        Whether nothing is left; `purge` goes on if there is.
    """
    threads.mark_deleted(writer, thread)
    thread.checkpoints = thread.writes = thread.size = 0
    return purge(writer, thread, budget)


def purge(writer: Writer, thread: Thread, budget: int | None = None) -> bool:
    """Delete what a detached thread held; returns whether nothing is left."""
    number, left = thread.number, budget
    for _, namespace in threads.namespaces(writer, thread):
        for record in islice(checkpoints.in_namespace(writer, number, namespace), left):
            checkpoints.remove(writer, number, namespace, record)
            for term in record.thread_terms:
                writer.delete(keys.thread_with_term(term, number))
            left = None if left is None else left - 1
    for kind in (b"k", b"w", b"h"):
        prefix = keys.of_thread(kind, number)
        deleted = garbage.delete_up_to(writer, prefix, keys.after(prefix), left)
        left = None if left is None else left - deleted
    if left != 0:
        deleted = garbage.free_chunks(writer, thread, left)
        left = None if left is None else left - deleted
    if left == 0:
        return False
    prefix = keys.namespaces(number)
    writer.delete_range(prefix, keys.after(prefix))
    threads.remove_tombstone(writer, thread)
    return True


def delete_runs(
    writer: Writer,
    number: int,
    run_ids: Mapping[str, bytes],
    options: StoreOptions,
) -> None:
    """Delete the checkpoints that runs stored in one thread.

    Args:
        run_ids: The runs, with their labels.
    """
    thread = threads.load(writer, number)
    gone: dict[int, set[str]] = {}
    for run_id, term in run_ids.items():
        for of, namespace, key in checkpoints.with_term(writer, term):
            record = writer.get(key) if of == number else None
            if record is not None:
                found = checkpoints.decode(key, record, number, namespace)
                if found.run_id == run_id:  # else another run of the same hash
                    gone.setdefault(namespace, set()).add(found.id)
    for namespace, ids in gone.items():
        _delete(writer, thread, namespace, ids, options)
    _collect_and_save(writer, thread)


def prune(
    writer: Writer,
    thread: Thread,
    keep: int | None,
    before: int | None,
    options: StoreOptions,
) -> None:
    """Keep the latest checkpoints of each namespace, with all that they need.

    The namespace of a subgraph's call goes with the root checkpoint that the call started from.

    Args:
        keep: How many to keep in a namespace, at least 1; None: any number.
        before: Milliseconds since the epoch: what was stored earlier goes, but for the latest.
    """
    names = threads.namespaces(writer, thread)
    kept: dict[int, list[str]] = {}
    gone: dict[int, set[str]] = {}
    for _, namespace in names:
        kept[namespace], gone[namespace] = _split_kept_removed(
            writer, thread.number, namespace, keep, before
        )
    for name, namespace in names:
        if kept[namespace] and options.is_subgraph_call(name):
            head = checkpoints.read(writer, thread.number, namespace, kept[namespace][0])
            if head is not None and head.root in gone.get(threads.ROOT, ()):
                gone[namespace].update(kept[namespace])
    if not any(gone.values()):
        threads.save(writer, thread)
        return
    for namespace, ids in gone.items():
        _delete(writer, thread, namespace, ids, options)
    _collect_and_save(writer, thread)


def _split_kept_removed(
    writer: Writer, thread: int, namespace: int, keep: int | None, before: int | None
) -> tuple[list[str], set[str]]:
    """The ids that stay, the latest first, and those that go."""
    ids = _descending(writer, thread, namespace)
    kept = ids[:keep]
    if before is not None:
        found = ((i, checkpoints.read(writer, thread, namespace, i)) for i in kept[1:])
        kept = kept[:1] + [i for i, record in found if record and record.stored >= before]
    return kept, set(ids).difference(kept)


def _descending(writer: Writer, thread: int, namespace: int) -> list[str]:
    ids: list[str] = []
    last = checkpoints.latest_before(writer, thread, namespace)
    while last is not None:
        ids.append(last)
        last = checkpoints.latest_before(writer, thread, namespace, last)
    return ids


def _delete(
    writer: Writer,
    thread: Thread,
    namespace: int,
    gone: set[str],
    options: StoreOptions,
) -> None:
    """Delete checkpoints with their writes; kept children of them become roots of their chains."""
    for record in _orphans(writer, thread.number, namespace, gone):
        channel_history.compact(
            writer, thread.number, namespace, record, options.is_ephemeral, options.level
        )
        checkpoints.remove(writer, thread.number, namespace, record)
        record.parent = None
        checkpoints.write(writer, thread.number, namespace, record, options.level)
    for checkpoint_id in gone:
        found = checkpoints.read(writer, thread.number, namespace, checkpoint_id)
        if found is not None:
            checkpoints.remove(writer, thread.number, namespace, found)
            thread.removed_terms.update(found.thread_terms)
        writes.remove(writer, thread.number, namespace, checkpoint_id)
        channel_history.remove(writer, thread.number, namespace, checkpoint_id)


def _orphans(writer: Writer, thread: int, namespace: int, gone: set[str]) -> list[CheckpointRecord]:
    children = {
        child
        for checkpoint_id in gone
        for child in checkpoints.child_ids(writer, thread, namespace, checkpoint_id)
    }
    found = (checkpoints.read(writer, thread, namespace, child) for child in children - gone)
    return [record for record in found if record is not None]


def _collect_and_save(writer: Writer, thread: Thread) -> None:
    """Free what is no longer needed; a thread that nothing is left of goes altogether."""
    empty = {
        name: number
        for name, number in threads.namespaces(writer, thread)
        if not any(
            True
            for kind in (b"c", b"w")
            for _ in writer.keys(*_bounds(keys.of_namespace(kind, thread.number, number)))
        )
    }
    if len(empty) == len(threads.namespaces(writer, thread)):
        for term in thread.removed_terms:  # no record is left that would tell
            writer.delete(keys.thread_with_term(term, thread.number))
        delete_thread(writer, thread)
        return
    for name, number in empty.items():
        if number != threads.ROOT:
            writer.delete(keys.namespace(thread.number, name))
    garbage.collect(writer, thread)
    threads.save(writer, thread)


def _bounds(prefix: bytes) -> tuple[bytes, bytes]:
    return prefix, keys.after(prefix)
