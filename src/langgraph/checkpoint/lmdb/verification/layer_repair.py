"""Repair of layers: a damaged thread and the users of a damaged layer get records of their own.

So what is damaged is in threads, which are repaired one by one, and each reports its own losses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress

from langgraph.checkpoint.lmdb.engine import layers, sharing, threads
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind, Layer
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer
from langgraph.checkpoint.lmdb.verification import key_scan
from langgraph.checkpoint.lmdb.verification.thread_repair import delete_records

_DAMAGED = b"\x00"
"""A record that is too short for any payload."""


def users_to_detach(
    reader: Reader, damaged: Collection[int]
) -> tuple[dict[int, list[Layer]], set[int]]:
    """Return the threads that must not have layers while they are repaired, with their layers; and
    the damaged layers.

    Args:
        reader: A snapshot.
        damaged: Numbers of threads and layers with problems.
    """
    kept = layers.by_user(reader)
    numbers = {number for number, _ in key_scan.numbers(reader, Kind.THREAD)}
    found = ((number, _layers_of(reader, number, kept)) for number in numbers | kept.keys())
    used = {number: row for number, row in found if row}
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


def _layers_of(reader: Reader, number: int, kept: Mapping[int, list[Layer]]) -> list[Layer]:
    """Return the layers of a thread, or those that are kept for it if its record is unreadable."""
    with suppress(IntegrityError):
        thread = threads.read(reader, number)
        if thread is not None:
            return [*thread.layers]
    return kept.get(number, [])


def _is_layer(reader: Reader, number: int) -> bool:
    return reader.raw(keys.layer(number)) is not None or key_scan.has_prefix(
        reader, keys.layer_users(number)
    )


def detach(writer: Writer, number: int, used: list[Layer]) -> None:
    """Copy the records of layers to a thread, the damaged ones as damaged records."""

    def copy_damaged(key: bytes) -> None:
        own = key[:1] + keys.number(number) + key[keys.read_number(key, 1)[1] :]
        if writer.raw(own) is None:
            writer.put(own, _DAMAGED)

    sharing.copy_records(writer, number, used, copy_damaged)
    with suppress(IntegrityError):
        thread = threads.read(writer, number)
        if thread is not None:
            thread.layers = ()
            thread.generation += 1
            threads.save(writer, thread)
    for layer in used:
        writer.delete(keys.layer_user(layer.number, number))


def delete_damaged(writer: Writer, numbers: Collection[int]) -> None:
    """Delete the damaged records of layers without users."""
    for number in _without_users(writer, numbers):
        kinds = (Kind.CHECKPOINT, Kind.WRITES, Kind.COMPACTED)
        prefixes = [keys.namespaces(number), *(keys.of_thread(kind, number) for kind in kinds)]
        for prefix in prefixes:
            for key in list(writer.keys(prefix, keys.prefix_end(prefix))):
                try:
                    envelope.check(key, writer.get(key) or b"")
                except IntegrityError:
                    writer.delete(key)


def delete_unused(writer: Writer, numbers: Collection[int]) -> set[int]:
    """Delete the records of layers without users, but not their chunks; return these layers."""
    unused = _without_users(writer, numbers)
    for number in unused:
        writer.delete(keys.layer(number))
        delete_records(writer, number)
    return unused


def _without_users(writer: Writer, numbers: Collection[int]) -> set[int]:
    """Delete records of users that do not show a layer; return the layers without users."""
    unused: set[int] = set()
    for number in numbers:
        prefix = keys.layer_users(number)
        for key in list(writer.keys(prefix, keys.prefix_end(prefix))):
            if not _shows(writer, key, len(prefix), number):
                writer.delete(key)
        if not key_scan.has_prefix(writer, prefix):
            unused.add(number)
    return unused


def _shows(reader: Reader, key: bytes, at: int, number: int) -> bool:
    """Return True if the user in a key shows a layer."""
    with suppress(IntegrityError):
        thread = threads.read(reader, keys.read_number(key, at)[0])
        return thread is not None and number in (layer.number for layer in thread.layers)
    return False
