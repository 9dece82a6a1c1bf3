"""What goes and what stays: deleting threads and runs, and pruning history to its latest part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import (
    checkpoints,
    delta,
    garbage,
    keys,
    records,
    threads,
    writes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import Writer

_KINDS_OF_NAMESPACE = (b"c", b"k", b"w", b"h", b"n")


def delete_thread(writer: Writer, thread: Thread) -> None:
    """Delete a thread and all that only it used."""
    for _, namespace in threads.namespaces(writer, thread):
        for record in checkpoints.in_namespace(writer, thread.number, namespace):
            if record.run_id is not None:
                writer.delete(keys.run_member(record.run_id, thread.number, namespace, record.id))
    for kind in _KINDS_OF_NAMESPACE:
        prefix = keys.of_thread(kind, thread.number)
        writer.delete_range(prefix, keys.after(prefix))
    garbage.collect(writer, thread)
    threads.remove(writer, thread)


def delete_runs(
    writer: Writer,
    number: int,
    run_ids: Iterable[str],
    transient: Callable[[str], bool],
    level: int | None,
) -> None:
    """Delete the checkpoints that runs stored in one thread."""
    thread = threads.load(writer, number)
    gone: dict[int, set[str]] = {}
    for run_id in run_ids:
        for of, namespace, key in checkpoints.of_run(writer, run_id):
            record = writer.get(key) if of == number else None
            if record is not None:
                found = checkpoints.decode(key, record, number, namespace)
                if found.run_id == run_id:  # else another run of the same hash
                    gone.setdefault(namespace, set()).add(found.id)
    for namespace, ids in gone.items():
        _delete(writer, thread, namespace, ids, transient, level)
    _settle(writer, thread)


def prune(
    writer: Writer,
    thread: Thread,
    keep: int,
    transient: Callable[[str], bool],
    is_call: Callable[[str], bool],
    level: int | None,
) -> None:
    """Keep the latest checkpoints of each namespace, with all that they need.

    The namespace of a subgraph's call goes with the root checkpoint that the call started from.

    Args:
        keep: How many to keep in a namespace, at least 1.
        transient: Whether a channel's past is never asked for, so that it need not be folded.
        is_call: Whether a namespace belongs to one call of a subgraph.
    """
    ids_of: dict[int, list[str]] = {}
    names = threads.namespaces(writer, thread)
    for _, namespace in names:
        ids_of[namespace] = _descending(writer, thread.number, namespace)
    root = next((namespace for name, namespace in names if name == ""), None)
    root_ids = ids_of.get(root, []) if root is not None else []
    roots_gone = set(root_ids[keep:])
    for name, namespace in names:
        ids = ids_of[namespace]
        gone = set(ids[keep:])
        if ids and is_call(name):
            head = checkpoints.read(writer, thread.number, namespace, ids[0])
            if head is not None and head.root in roots_gone:
                gone = set(ids)
        _delete(writer, thread, namespace, gone, transient, level)
    _settle(writer, thread)


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
    transient: Callable[[str], bool],
    level: int | None,
) -> None:
    """Delete checkpoints with their writes; kept children of them become roots of their chains."""
    for record in _orphans(writer, thread.number, namespace, gone):
        delta.fold(writer, thread.number, namespace, record, transient, level)
        checkpoints.remove(writer, thread.number, namespace, record)
        record.parent = None
        checkpoints.write(writer, thread.number, namespace, record, level)
    for checkpoint_id in gone:
        found = checkpoints.read(writer, thread.number, namespace, checkpoint_id)
        if found is not None:
            checkpoints.remove(writer, thread.number, namespace, found)
            thread.checkpoints -= 1
        writes.remove(writer, thread.number, namespace, checkpoint_id)
        delta.remove(writer, thread.number, namespace, checkpoint_id)


def _orphans(writer: Writer, thread: int, namespace: int, gone: set[str]) -> list[CheckpointRecord]:
    children = {
        child
        for checkpoint_id in gone
        for child in checkpoints.child_ids(writer, thread, namespace, checkpoint_id)
    }
    found = (checkpoints.read(writer, thread, namespace, child) for child in children - gone)
    return [record for record in found if record is not None]


def _settle(writer: Writer, thread: Thread) -> None:
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
        delete_thread(writer, thread)
        return
    for name, number in empty.items():
        if number != threads.ROOT:
            writer.delete(keys.namespace(thread.number, name))
    garbage.collect(writer, thread)
    threads.save(writer, thread)


def _bounds(prefix: bytes) -> tuple[bytes, bytes]:
    return prefix, keys.after(prefix)


def copy_thread(
    writer: Writer, source: Thread, target_id: str, now: int, level: int | None
) -> None:
    """Make a thread with all that another one holds; both share the chunks of their values."""
    target = threads.create(writer, target_id, now)
    target.next_namespace = source.next_namespace
    for name, namespace in threads.namespaces(writer, source):
        threads.write_namespace(writer, target, name, namespace)
        for record in checkpoints.in_namespace(writer, source.number, namespace):
            checkpoints.write(writer, target.number, namespace, record, level)
            target.checkpoints += 1
        for kind in (b"w", b"h"):
            _copy_records(
                writer,
                keys.of_namespace(kind, source.number, namespace),
                keys.of_namespace(kind, target.number, namespace),
            )
    garbage.pin(writer, target)
    threads.save(writer, target)


def _copy_records(writer: Writer, source: bytes, target: bytes) -> None:
    for key, record in list(writer.range(source, keys.after(source))):
        new_key = target + key[len(source) :]
        writer.put(new_key, records.reseal(key, new_key, record))
