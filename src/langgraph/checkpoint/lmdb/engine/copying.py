"""Copies of threads, and forks of a checkpoint and its ancestors.

A copy shares all records of its source, and a fork shares the records of its history if its source
is a line of checkpoints. Any other fork copies records, and shares their values.
"""

from __future__ import annotations

from collections.abc import Container

from langgraph.checkpoint.lmdb.engine import (
    checkpoints,
    garbage,
    layers,
    namespaces,
    prune,
    sharing,
    states,
    threads,
)
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
from langgraph.checkpoint.lmdb.engine.options import StoreOptions
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.errors import CheckpointNotFoundError, ThreadExistsError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


def copy_thread(writer: Writer, source_id: str, target_id: str, options: StoreOptions) -> None:
    """Copy a thread. Do nothing for an unknown source.

    Raises:
        ThreadExistsError: The target has checkpoints.
    """
    source = options.find_thread(writer, source_id)
    if source is None or source_id == target_id:
        return
    _require_free_target(writer, target_id, f"cannot copy thread {source_id!r}", options)
    target = _share(writer, source, target_id, options.now())
    target.state = source.state
    threads.save(writer, target)


def fork(
    writer: Writer,
    source_id: str,
    checkpoint_id: str | None,
    target_id: str,
    options: StoreOptions,
) -> str:
    """Copy a checkpoint of the root namespace and its ancestors to a new thread.

    Also copies their pending writes, and the checkpoints of subgraphs that were called from them.

    Args:
        writer: The write transaction.
        source_id: The thread of the checkpoint.
        checkpoint_id: The checkpoint. None: the latest.
        target_id: The new thread.
        options: The options of the store.

    Returns:
        The id of the checkpoint.

    Raises:
        CheckpointNotFoundError: The checkpoint does not exist.
        ThreadExistsError: The target has checkpoints.
    """
    source, checkpoint = _find_root_checkpoint(writer, source_id, checkpoint_id, options)
    _require_free_target(writer, target_id, f"cannot fork thread {source_id!r}", options)
    if sharing.is_line_to(writer, source, checkpoint):
        target = _share(writer, source, target_id, options.now())
        sharing.cut(writer, target, checkpoint.id)
        layers.write_users(writer, target.number, target.layers)
    else:
        target = _target(writer, source, target_id, options.now())
        _copy_history(writer, source, checkpoint, target, options)
    states.refresh(writer, target, options.state_of)
    threads.save(writer, target)
    return checkpoint.id


def _find_root_checkpoint(
    reader: Reader, thread_id: str, checkpoint_id: str | None, options: StoreOptions
) -> tuple[Thread, CheckpointRecord]:
    thread = options.find_thread(reader, thread_id)
    if thread is not None:
        found = checkpoint_id
        if found is None:
            found = checkpoints.latest_before(reader, thread.root)
        if found is not None:
            record = checkpoints.read(reader, thread.root, found)
            if record is not None:
                return thread, record
    raise CheckpointNotFoundError(
        "the checkpoint to fork does not exist", thread_id=thread_id, checkpoint_id=checkpoint_id
    )


def _require_free_target(
    writer: Writer, thread_id: str, failure: str, options: StoreOptions
) -> None:
    """Raise ThreadExistsError if a thread has checkpoints; delete a hidden or empty thread."""
    thread = options.find_thread(writer, thread_id)
    if thread is not None and thread.checkpoints:
        raise ThreadExistsError(f"{failure}: the target exists", thread_id=thread_id)
    thread = threads.find(writer, thread_id)
    if thread is not None:  # it has expired, or has only pending writes
        prune.remove_thread(writer, thread, prune.PURGE_BATCH)


def _target(writer: Writer, source: Thread, target_id: str, now: int) -> Thread:
    target = threads.create(writer, target_id, now)
    target.next_namespace = source.next_namespace
    target.ttl = source.ttl
    target.needs_trim = True
    return target


def _share(writer: Writer, source: Thread, target_id: str, now: int) -> Thread:
    """Return a new thread that shows all that a thread shows."""
    target = _target(writer, source, target_id, now)
    unused = sharing.share(writer, source, target)
    layers.write_users(writer, target.number, target.layers)
    prune.purge_layers(writer, unused)
    return target


def _copy_history(
    writer: Writer,
    source: Thread,
    checkpoint: CheckpointRecord,
    target: Thread,
    options: StoreOptions,
) -> None:
    """Copy a root checkpoint, its ancestors, and what was called from them."""
    line = checkpoints.ancestry(writer, source.root, checkpoint)
    roots = {record.id for record in line}
    for name, namespace in namespaces.of_thread(writer, source):
        copy = target.namespace(namespace.number)
        ids = roots
        if namespace != source.root:
            ids = _called_from(writer, namespace, roots)
            if not ids:
                continue
            namespaces.write(writer, copy, name)
        for copied in ids:
            _copy_checkpoint(writer, namespace, copy, copied, options.level)
    garbage.add_shared_refs(writer, target)


def _called_from(reader: Reader, namespace: NamespaceRef, roots: Container[str]) -> set[str]:
    """Return the ids of a namespace whose graph was called from one of the root checkpoints."""
    ids: set[str] = set()
    for record in checkpoints.in_namespace(reader, namespace):
        if record.root in roots:
            for found in checkpoints.ancestry(reader, namespace, record):
                if found.id in ids:
                    break
                ids.add(found.id)
    return ids


def _copy_checkpoint(
    writer: Writer,
    source: NamespaceRef,
    target: NamespaceRef,
    checkpoint_id: str,
    level: int | None,
) -> None:
    record = checkpoints.read(writer, source, checkpoint_id)
    assert record is not None, "found just before, in the same transaction"
    checkpoints.write(writer, target, record, level)
    shown = layers.merged(writer, source)
    for prefix_of in (keys.writes, keys.compacted):
        prefix = prefix_of(source, checkpoint_id)
        for key, found in list(shown.range(prefix, keys.prefix_end(prefix))):
            new_key = prefix_of(target, checkpoint_id) + key[len(prefix) :]
            writer.put(new_key, envelope.reseal(key, new_key, found))
