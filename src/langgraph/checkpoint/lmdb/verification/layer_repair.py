"""Repair of layers: a damaged thread and the users of a damaged layer get records of their own.

So what is damaged is in threads, which are repaired one by one, and each reports its own losses.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import layers, sharing, threads
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.format.keys import Kind
from langgraph.checkpoint.lmdb.verification import key_scan
from langgraph.checkpoint.lmdb.verification.thread_repair import delete_records

if TYPE_CHECKING:
    from collections.abc import Collection

    from langgraph.checkpoint.lmdb.format.keys import Layer
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer


def users_to_detach(
    reader: Reader, damaged: Collection[int]
) -> tuple[dict[int, list[Layer]], set[int]]:
    """Return the threads that must not have layers while they are repaired, with their layers; and
    the damaged layers.

    Args:
        reader: A snapshot.
        damaged: Numbers of threads and layers with problems.
    """
    used: dict[int, list[Layer]] = {}
    for number, _ in key_scan.numbers(reader, Kind.THREAD):
        found = _layers_of(reader, number)
        if found:
            used[number] = found
    broken = {number for number in damaged if _is_layer(reader, number)}
    broken |= {
        layer.number
        for found in used.values()
        for layer in found
        if reader.raw(keys.layer(layer.number)) is None
    }
    return {
        number: found
        for number, found in used.items()
        if number in damaged or not broken.isdisjoint(layer.number for layer in found)
    }, broken


def _layers_of(reader: Reader, number: int) -> list[Layer]:
    """Return the layers of a thread, from the records of their users if its own is unreadable."""
    with suppress(IntegrityError):
        thread = threads.read(reader, number)
        return [] if thread is None else [*thread.layers]
    return layers.used_by(reader, number)


def _is_layer(reader: Reader, number: int) -> bool:
    return reader.raw(keys.layer(number)) is not None or key_scan.has_prefix(
        reader, keys.layer_users(number)
    )


def detach(writer: Writer, number: int, used: list[Layer]) -> None:
    """Copy the records of layers to a thread; remove damaged ones."""
    sharing.copy_records(writer, number, used, writer.delete)
    with suppress(IntegrityError):
        thread = threads.read(writer, number)
        if thread is not None:
            thread.layers = ()
            thread.generation += 1
            threads.save(writer, thread)
    for layer in used:
        writer.delete(keys.layer_user(layer.number, number))


def delete_unused(writer: Writer, numbers: Collection[int]) -> set[int]:
    """Delete the records of layers without users, but not their chunks; return these layers."""
    unused: set[int] = set()
    for number in numbers:
        prefix = keys.layer_users(number)
        for key in list(writer.keys(prefix, keys.prefix_end(prefix))):
            if not _shows(writer, key, len(prefix), number):
                writer.delete(key)
        if not key_scan.has_prefix(writer, prefix):
            writer.delete(keys.layer(number))
            delete_records(writer, number)
            unused.add(number)
    return unused


def _shows(reader: Reader, key: bytes, at: int, number: int) -> bool:
    """Return True if the user in a key shows a layer."""
    with suppress(IntegrityError):
        user, _ = keys.read_number(key, at)
        return number in (layer.number for layer in _layers_of(reader, user))
    return False
