"""Threads made from threads: copies, and forks of a checkpoint's past. Values are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import checkpoints, garbage, threads
from langgraph.checkpoint.lmdb.format import envelope, keys

if TYPE_CHECKING:
    from collections.abc import Container

    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
    from langgraph.checkpoint.lmdb.engine.options import StoreOptions
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


def copy_thread(writer: Writer, source: Thread, target_id: str, options: StoreOptions) -> None:
    """Make a thread with all that another one holds."""
    target = _target(writer, source, target_id, options.now())
    for name, namespace in threads.namespaces(writer, source):
        threads.write_namespace(writer, target, name, namespace)
        for record in checkpoints.in_namespace(writer, source.number, namespace):
            checkpoints.write(writer, target.number, namespace, record, options.level)
        for kind in (b"w", b"h"):
            _copy_records(
                writer,
                keys.of_namespace(kind, source.number, namespace),
                keys.of_namespace(kind, target.number, namespace),
            )
    garbage.add_shared_refs(writer, target)
    threads.save(writer, target)


def fork(
    writer: Writer,
    source: Thread,
    checkpoint: CheckpointRecord,
    target_id: str,
    options: StoreOptions,
) -> None:
    """Make a thread with a checkpoint of the root namespace and its ancestors, their pending
    writes, and what subgraphs stored that were called from them."""
    target = _target(writer, source, target_id, options.now())
    line = checkpoints.ancestry(writer, source.number, threads.ROOT, checkpoint)
    roots = {record.id for record in line}
    for name, namespace in threads.namespaces(writer, source):
        ids = roots
        if namespace != threads.ROOT:
            ids = _called_from(writer, source.number, namespace, roots)
            if not ids:
                continue
            threads.write_namespace(writer, target, name, namespace)
        for checkpoint_id in ids:
            _copy_checkpoint(writer, source, target, namespace, checkpoint_id, options.level)
    garbage.add_shared_refs(writer, target)
    threads.save(writer, target)


def _target(writer: Writer, source: Thread, target_id: str, now: int) -> Thread:
    target = threads.create(writer, target_id, now)
    target.next_namespace = source.next_namespace
    target.ttl = source.ttl
    target.needs_trim = True
    return target


def _called_from(reader: Reader, thread: int, namespace: int, roots: Container[str]) -> set[str]:
    ids: set[str] = set()
    for record in checkpoints.in_namespace(reader, thread, namespace):
        if record.root in roots:
            for found in checkpoints.ancestry(reader, thread, namespace, record):
                if found.id in ids:
                    break
                ids.add(found.id)
    return ids


def _copy_checkpoint(
    writer: Writer,
    source: Thread,
    target: Thread,
    namespace: int,
    checkpoint_id: str,
    level: int | None,
) -> None:
    record = checkpoints.read(writer, source.number, namespace, checkpoint_id)
    assert record is not None, "found just before, in the same transaction"
    checkpoints.write(writer, target.number, namespace, record, level)
    for prefix in (keys.writes, keys.compacted):
        _copy_records(
            writer,
            prefix(source.number, namespace, checkpoint_id),
            prefix(target.number, namespace, checkpoint_id),
        )


def _copy_records(writer: Writer, source: bytes, target: bytes) -> None:
    for key, record in list(writer.range(source, keys.after(source))):
        new_key = target + key[len(source) :]
        writer.put(new_key, envelope.reseal(key, new_key, record))
