"""Deleting threads and runs, and pruning history to its latest part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice

from langgraph.checkpoint.lmdb.engine import (
    channel_history,
    checkpoints,
    garbage,
    layers,
    namespaces,
    sharing,
    states,
    tally,
    threads,
    writes,
)
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
from langgraph.checkpoint.lmdb.engine.options import StoreOptions
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.format.keys import Kind, Layer, NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

PURGE_BATCH = 500
"""Records of a deleted thread that one transaction removes; writers wait for some milliseconds."""


def delete_thread(writer: Writer, thread_id: str) -> int | None:
    """Delete a thread. Do nothing for an unknown one.

    Returns:
        The number of the thread if `purge` has to remove more records, else None.
    """
    thread = threads.find(writer, thread_id)
    if thread is None or remove_thread(writer, thread, PURGE_BATCH):
        return None
    return thread.number


def purge(writer: Writer, number: int) -> int | None:
    """Remove the next records of a deleted thread. Do nothing for a purged one.

    Returns:
        The number of the thread if `purge` has to remove more records, else None.
    """
    thread = threads.find_tombstone(writer, number)
    return None if thread is None or _purge(writer, thread, PURGE_BATCH) else number


def next_deleted(reader: Reader, after: int) -> int | None:
    """Return the least number above `after` of a thread that is deleted but not purged."""
    start = keys.tombstone(after) + b"\x00"
    for key in reader.keys(start, keys.prefix_end(keys.Kind.TOMBSTONE)):
        with suppress(DamagedError):  # skip malformed keys
            number, _ = keys.read_number(key, 1)
            if key == keys.tombstone(number):
                return number
    return None


def remove_thread(writer: Writer, thread: Thread, budget: int | None = None) -> bool:
    """Delete a thread and the chunks that only it used.

    Args:
        writer: The write transaction.
        thread: The thread. Readers do not see it from now on.
        budget: Approximate number of records to remove. None: all.

    Returns:
        True if nothing is left to purge.
    """
    used, thread.layers = thread.layers, ()
    threads.mark_deleted(writer, thread)
    sharing.release(writer, thread.number, used)
    thread.checkpoints = thread.writes = thread.size = 0
    return _purge(writer, thread, budget)


def detach(writer: Writer, thread: Thread) -> None:
    """Let a thread have all its records itself, so that they can be changed and deleted.

    The caller saves the thread.
    """
    purge_layers(writer, sharing.dissolve(writer, thread))


def purge_layers(writer: Writer, numbers: Iterable[int]) -> None:
    """Remove all records of deleted layers."""
    for number in numbers:
        while purge(writer, number) is not None:
            pass


def _purge(writer: Writer, thread: Thread, budget: int | None) -> bool:
    """Remove records of a deleted thread; returns True if nothing is left."""
    number, left = thread.number, budget
    for _, namespace in namespaces.of_thread(writer, thread):
        for record in islice(checkpoints.in_namespace(writer, namespace), left):
            checkpoints.remove(writer, namespace, record)
            for term in record.thread_terms:
                writer.discard(keys.thread_with_term(term, number))
            left = None if left is None else left - 1
    for kind in (keys.Kind.CHILD, keys.Kind.WRITES, keys.Kind.COMPACTED):
        prefix = keys.of_thread(kind, number)
        deleted = garbage.delete_up_to(writer, prefix, keys.prefix_end(prefix), left)
        left = None if left is None else left - deleted
    if left != 0:
        deleted = garbage.free_chunks(writer, thread, left)
        left = None if left is None else left - deleted
    if left == 0:
        return False
    prefix = keys.namespaces(number)
    writer.delete_range(prefix, keys.prefix_end(prefix))
    writer.delete(keys.tombstone(number))
    return True


def threads_of_runs(reader: Reader, run_ids: Mapping[str, bytes]) -> list[int]:
    """Return the numbers of the threads that may have checkpoints of runs.

    Args:
        reader: A snapshot.
        run_ids: The runs, with their index terms.
    """
    found: set[int] = set()
    owners: dict[int, list[tuple[Thread, Layer | None]]] = {}
    for term in run_ids.values():
        for namespace, key in checkpoints.with_term(reader, term):
            if namespace.thread not in owners:
                owners[namespace.thread] = sharing.threads_of(reader, namespace.thread)
            part = key[keys.namespace_end(key) :]
            found.update(
                thread.number
                for thread, layer in owners[namespace.thread]
                if layer is None or layers.shows(layer, namespace.number, Kind.CHECKPOINT, part)
            )
    return sorted(found)


def delete_runs(
    writer: Writer,
    number: int,
    run_ids: Mapping[str, bytes],
    options: StoreOptions,
) -> None:
    """Delete the checkpoints that runs stored in one thread, with their writes.

    Args:
        writer: The write transaction.
        number: The thread's number. Nothing happens for a deleted thread.
        run_ids: The runs, with their index terms.
        options: The options of the store.
    """
    thread = threads.read(writer, number)
    if thread is None:
        return
    detach(writer, thread)
    removed: dict[NamespaceRef, set[str]] = {}
    for run_id, term in run_ids.items():
        for namespace, key in checkpoints.with_term(writer, term):
            record = writer.get(key) if namespace.thread == number else None
            if record is not None:
                found = checkpoints.decode(key, record)
                if found.run_id == run_id:  # the hash of another run may be the same
                    removed.setdefault(namespace, set()).add(found.id)
    for namespace, ids in removed.items():
        _delete(writer, thread, namespace, ids, options)
    if thread.root in removed:
        states.refresh(writer, thread, options.state_of)
    _collect_and_save(writer, thread)


def prune(writer: Writer, thread_id: str, keep: int, options: StoreOptions) -> None:
    """Keep the latest checkpoints of each namespace of a thread. Do nothing for an unknown one."""
    thread = threads.find(writer, thread_id)
    if thread is not None:
        trim(writer, thread, keep, None, options)


def delete_checkpoint(
    writer: Writer, thread_id: str, checkpoint_id: str, options: StoreOptions
) -> bool:
    """Delete one checkpoint of the root namespace of a thread, with its writes.

    Returns:
        True if the thread, which has not expired, had the checkpoint.
    """
    thread = options.find_thread(writer, thread_id)
    if thread is None or checkpoints.read(writer, thread.root, checkpoint_id) is None:
        return False
    detach(writer, thread)
    _delete(writer, thread, thread.root, {checkpoint_id}, options)
    states.refresh(writer, thread, options.state_of)
    _collect_and_save(writer, thread)
    return True


def trim(
    writer: Writer,
    thread: Thread,
    keep: int | None,
    before: int | None,
    options: StoreOptions,
) -> None:
    """Keep the latest checkpoints of each namespace, with all that they need.

    The namespace of a subgraph call is deleted with the root checkpoint that made the call.

    Args:
        writer: The write transaction.
        thread: The thread.
        keep: Checkpoints to keep in a namespace, at least 1. None: any number.
        before: Milliseconds since the epoch. Checkpoints stored earlier are deleted, except the
            latest of each namespace. None: age does not matter.
        options: The options of the store.
    """
    removed = _find_old(writer, thread, keep, before, options)
    if not any(removed.values()):
        if thread.layers:
            thread.oldest = tally.count(writer, thread).oldest
        threads.save(writer, thread)
        return
    if thread.layers:
        detach(writer, thread)
        removed = _find_old(writer, thread, keep, before, options)
    for namespace, ids in removed.items():
        _delete(writer, thread, namespace, ids, options)
    _collect_and_save(writer, thread)


def _find_old(
    writer: Writer, thread: Thread, keep: int | None, before: int | None, options: StoreOptions
) -> dict[NamespaceRef, set[str]]:
    """Return the ids that `trim` deletes, by namespace."""
    names = namespaces.of_thread(writer, thread)
    kept: dict[NamespaceRef, list[str]] = {}
    removed: dict[NamespaceRef, set[str]] = {}
    for _, namespace in names:
        kept[namespace], removed[namespace] = _split_kept_removed(writer, namespace, keep, before)
    for name, namespace in names:
        if kept[namespace] and options.is_subgraph_call(name):
            head = checkpoints.read(writer, namespace, kept[namespace][0])
            if head is not None and head.root in removed.get(thread.root, ()):
                removed[namespace].update(kept[namespace])
    return removed


def _split_kept_removed(
    writer: Writer, namespace: NamespaceRef, keep: int | None, before: int | None
) -> tuple[list[str], set[str]]:
    """Return the ids to keep, latest first, and the ids to delete."""
    ids = _descending(writer, namespace)
    kept = ids[:keep]
    if before is not None:
        found = ((i, checkpoints.read(writer, namespace, i)) for i in kept[1:])
        kept = kept[:1] + [i for i, record in found if record and record.stored_at >= before]
    return kept, set(ids).difference(kept)


def _descending(writer: Writer, namespace: NamespaceRef) -> list[str]:
    ids: list[str] = []
    last = checkpoints.latest_before(writer, namespace)
    while last is not None:
        ids.append(last)
        last = checkpoints.latest_before(writer, namespace, last)
    return ids


def _delete(
    writer: Writer,
    thread: Thread,
    namespace: NamespaceRef,
    removed: set[str],
    options: StoreOptions,
) -> None:
    """Delete checkpoints with their writes; a kept child of one has no parent from then on."""
    for record in _orphans(writer, namespace, removed):
        channel_history.compact(writer, namespace, record, options.is_ephemeral, options.level)
        checkpoints.remove(writer, namespace, record)
        record.parent = None
        checkpoints.write(writer, namespace, record, options.level)
    for checkpoint_id in removed:
        found = checkpoints.read(writer, namespace, checkpoint_id)
        if found is not None:
            checkpoints.remove(writer, namespace, found)
            thread.removed_terms.update(found.thread_terms)
        writes.remove(writer, namespace, checkpoint_id)
        channel_history.remove(writer, namespace, checkpoint_id)


def _orphans(writer: Writer, namespace: NamespaceRef, removed: set[str]) -> list[CheckpointRecord]:
    children = {
        child
        for checkpoint_id in removed
        for child in checkpoints.child_ids(writer, namespace, checkpoint_id)
    }
    found = (checkpoints.read(writer, namespace, child) for child in children - removed)
    return [record for record in found if record is not None]


def _collect_and_save(writer: Writer, thread: Thread) -> None:
    """Free unused chunks and save the thread; an empty thread is deleted."""
    empty = {
        name: namespace
        for name, namespace in namespaces.of_thread(writer, thread)
        if not any(
            True
            for kind in (keys.Kind.CHECKPOINT, keys.Kind.WRITES)
            for _ in writer.keys(*_bounds(keys.of_namespace(kind, namespace)))
        )
    }
    if len(empty) == len(namespaces.of_thread(writer, thread)):
        for term in thread.removed_terms:  # the records that named them are deleted
            writer.discard(keys.thread_with_term(term, thread.number))
        remove_thread(writer, thread)
        return
    for name, namespace in empty.items():
        if namespace != thread.root:
            writer.delete(keys.namespace(thread.number, name))
    garbage.collect(writer, thread)
    threads.save(writer, thread)


def _bounds(prefix: bytes) -> tuple[bytes, bytes]:
    return prefix, keys.prefix_end(prefix)
