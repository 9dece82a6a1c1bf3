"""Threads that share layers: how they begin to share records, and how they stop.

`layers` says what a layer is. A layer without users is deleted. A thread that changes or deletes
what is in its layers dissolves them before: it copies the records that it shows to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from langgraph.checkpoint.lmdb.engine import (
    checkpoints,
    garbage,
    layers,
    namespaces,
    threads,
    writes,
)
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind, Layer, NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


def share(writer: Writer, source: Thread, target: Thread) -> list[int]:
    """Let a new thread show all that a thread shows; the caller saves the target.

    Returns:
        As `release`.
    """
    unused: list[int] = []
    if source.size:
        _remove_users(writer, source.number, source.layers)
        threads.split_off_layer(writer, source)
        if len(source.layers) > layers.MAX_LAYERS:
            unused = _join_layers(writer, source)
        layers.write_users(writer, source.number, source.layers)
        threads.save(writer, source)
    target.layers = source.layers
    target.checkpoints = source.checkpoints
    target.writes = source.writes
    target.early = source.early
    target.oldest = source.oldest
    target.line = source.line
    return unused


def _join_layers(writer: Writer, thread: Thread) -> list[int]:
    """Replace the nearest layers of a thread, which has no records of its own, by one layer.

    They are at least two, and as many more as are not larger than the layers before them together.
    So the long layers, which have most of the records, are seldom copied.

    Returns:
        As `release`.
    """
    count, size = 2, thread.layers[0].size + thread.layers[1].size
    while count < len(thread.layers) and thread.layers[count].size <= size:
        size += thread.layers[count].size
        count += 1
    joined = thread.layers[:count]
    layer = threads.create_layer(writer, thread)
    copy_records(writer, layer.number, joined)
    garbage.add_shared_refs(writer, layer)
    threads.save_layer(writer, layer)
    thread.layers = (Layer(layer.number, layer.size), *thread.layers[count:])
    thread.generation += 1
    return release(writer, thread.number, joined)


def is_line_to(reader: Reader, thread: Thread, checkpoint: CheckpointRecord) -> bool:
    """Return True if `cut` can leave out what does not belong to a root checkpoint's history."""
    return (
        thread.line is not None
        and not thread.early
        and checkpoint.parent is not None
        and checkpoints.is_stored(reader, thread.root, checkpoint.parent)
    )


def cut(reader: Reader, thread: Thread, last: str) -> None:
    """Let a new thread, whose records are all in its layers, show no more than the history of a
    root checkpoint.

    It reads what is left out. The thread is a line to the checkpoint; see `is_line_to`.
    """
    before = _next_root(reader, thread, last)
    if before is not None:
        for _, namespace in namespaces.of_thread(reader, thread):
            _leave_out(reader, thread, namespace, last, before)
        thread.line = "" if thread.line == "" else None
    thread.layers = tuple(layers.cut(layer, last, before) for layer in thread.layers)


def _next_root(reader: Reader, thread: Thread, after: str) -> str | None:
    start, stop = keys.checkpoint(thread.root, after) + b"\x00", keys.checkpoints(thread.root)
    for key in layers.merged(reader, thread.root).keys(start, keys.prefix_end(stop)):
        return keys.decoded(key[len(stop) :], key)
    return None


def _leave_out(
    reader: Reader, thread: Thread, namespace: NamespaceRef, last: str, before: str
) -> None:
    """Take what a cut leaves out of a namespace from the counts of a thread."""
    prefix = keys.checkpoints(namespace)
    if namespace == thread.root:
        start = keys.checkpoint(namespace, last) + b"\x00"
        first = keys.prefix_end(keys.writes(namespace, last))
    else:
        start, first = keys.checkpoint(namespace, before), keys.writes(namespace, before)
    found = layers.merged(reader, namespace).keys(start, keys.prefix_end(prefix))
    thread.checkpoints -= sum(1 for _ in found)
    tasks = writes.in_namespace(reader, namespace, first)
    thread.writes -= sum(len(task.writes) for _, task in tasks)


def release(writer: Writer, user: int, used: Iterable[Layer]) -> list[int]:
    """Note that a thread shows layers no more.

    Returns:
        The numbers of layers that no thread shows. They are tombstones from now on.
    """
    _remove_users(writer, user, used)
    unused: list[int] = []
    for number in {layer.number for layer in used}:
        prefix = keys.layer_users(number)
        if not any(True for _ in writer.keys(prefix, keys.prefix_end(prefix))):
            layer = threads.read_layer(writer, number)
            if layer is not None:
                threads.mark_layer_deleted(writer, layer)
                unused.append(number)
    return sorted(unused)


def _remove_users(writer: Writer, user: int, used: Iterable[Layer]) -> None:
    for layer in used:
        writer.delete(keys.layer_user(layer.number, user))


def dissolve(writer: Writer, thread: Thread) -> list[int]:
    """Copy what a thread shows of its layers to records of its own; the caller saves the thread.

    Returns:
        As `release`.

    Raises:
        DamagedError: A layer or one of its records is missing or damaged.
    """
    used = thread.layers
    if not used:
        return []
    for layer in used:
        if threads.read_layer(writer, layer.number) is None:
            envelope.raise_damaged(keys.layer(layer.number), "the record of the layer is missing")
    copy_records(writer, thread.number, used)
    thread.layers = ()
    thread.generation += 1
    garbage.add_shared_refs(writer, thread)
    return release(writer, thread.number, used)


def copy_records(
    writer: Writer,
    user: int,
    used: Iterable[Layer],
    on_damage: Callable[[bytes], object] | None = None,
) -> None:
    """Copy records of layers to a thread that has not got them.

    Args:
        writer: The write transaction.
        user: The thread.
        used: Its layers, the nearest first.
        on_damage: Function that is called with the key of each record that cannot be read. None:
            raise the error.
    """
    copied: set[int] = set()
    for layer in used:
        for kind in (Kind.CHECKPOINT, Kind.WRITES, Kind.COMPACTED):
            prefix = keys.of_thread(kind, layer.number)
            for key in list(writer.keys(prefix, keys.prefix_end(prefix))):
                with _damage(key, on_damage):
                    number, at = keys.read_number(key, len(prefix))
                    if layers.shows(layer, number, kind, key[at:]):
                        _copy(writer, NamespaceRef(user, number), kind, key, at)
                        copied.add(number)
        prefix = keys.namespaces(layer.number)
        for key in list(writer.keys(prefix, keys.prefix_end(prefix))):
            with _damage(key, on_damage):
                name, number = namespaces.decode(key, writer.get(key) or b"")
                is_new = writer.raw(keys.namespace(user, name)) is None
                if number in copied and is_new:
                    namespaces.write(writer, NamespaceRef(user, number), name)


@contextmanager
def _damage(key: bytes, on_damage: Callable[[bytes], object] | None) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        if on_damage is None:
            raise
        on_damage(key)


def _copy(writer: Writer, namespace: NamespaceRef, kind: bytes, stored: bytes, at: int) -> None:
    """Copy a record to a namespace, unless the namespace has it."""
    key = keys.of_namespace(kind, namespace) + stored[at:]
    if writer.raw(key) is not None:
        return
    record = envelope.reseal(stored, key, writer.get(stored) or b"")
    if kind == Kind.CHECKPOINT:
        checkpoints.write_index(writer, namespace, checkpoints.decode(key, record))
    writer.put(key, record)


def own_size(reader: Reader, thread: Thread, detached: Collection[int] = ()) -> int:
    """Return the bytes of a thread and of the layers that no other thread shows.

    Args:
        reader: A snapshot.
        thread: The thread.
        detached: Numbers of threads that count as if they had given up their layers.
    """
    size = thread.size
    for layer in thread.layers:
        others = (user for user, _ in layers.users(reader, layer.number) if user != thread.number)
        if all(user in detached for user in others):
            size += layer.size
    return size


def threads_of(reader: Reader, number: int) -> list[tuple[Thread, Layer | None]]:
    """Return the threads that show the records of a thread or layer, each with the part of the
    layer that it shows, or None for the thread itself.

    Raises:
        DamagedError: A thread is missing or damaged.
    """
    thread = threads.read(reader, number)
    if thread is not None:
        return [(thread, None)]
    users = layers.users(reader, number)
    if not users:
        threads.by_number(reader, number)
    found = reader.gather(partial(threads.by_number, reader, user) for user, _ in users)
    pairs = zip(found, users, strict=True)
    return [(thread, layer) for thread, (_, layer) in pairs if thread is not None]
