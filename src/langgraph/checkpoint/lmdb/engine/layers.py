"""Layers: records that several threads show as if they were their own.

A copy or a fork copies no records. The number of its source becomes a layer, whose records never
change. The source and its copy continue with new numbers. Each has the layer, and shows its
records, or a part of them, beside records of its own. A record of its own hides the one in a layer.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from contextlib import suppress
from operator import itemgetter
from types import NoneType

from langgraph.checkpoint.lmdb.engine import records
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind, Layer, NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

MAX_LAYERS = 8
"""Layers of a thread. With more the nearest ones are joined, so that reads remain fast."""
_USER_TYPES = envelope.field_types(int, envelope.OPTIONAL_TEXT, envelope.OPTIONAL_TEXT)


def merged(reader: Reader, namespace: NamespaceRef) -> Reader:
    """Return a reader of the keys of one namespace that shows the records in its layers, too."""
    return _LayeredReader(reader, namespace) if namespace.layers else reader


class _LayeredReader(Reader):
    """A reader of the keys of a namespace: the kinds of keys that `keys.of_namespace` makes."""

    __slots__ = ("_head", "_inner", "_layers", "_namespace", "_size")

    def __init__(self, inner: Reader, namespace: NamespaceRef) -> None:
        self._inner = inner
        self._namespace = namespace.number
        self._layers = namespace.layers
        self._head = len(keys.thread_number(namespace.thread))
        """Offset of the kind in a key."""
        self._size = len(keys.checkpoints(namespace))
        """Offset behind the namespace in a key."""

    def get(self, key: bytes) -> bytes | None:
        record = self._inner.get(key)
        if record is not None:
            return record
        kind, rest = key[self._head : self._head + 1], key[self._size :]
        for layer in self._layers:
            if shows(layer, self._namespace, kind, rest):
                shared = self._prefix(layer, kind) + rest
                record = self._inner.get(shared)
                if record is not None:
                    return _moved(shared, key, record)
        return None

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        own = ((k, k, v) for k, v in self._inner.range(start, stop, reverse=reverse))
        shared = [self._rows(layer, start, stop, reverse, values=True) for layer in self._layers]
        for key, stored, record in _merge([own, *shared], reverse):
            yield key, record if stored == key else _moved(stored, key, record)

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        own = ((k, k, b"") for k in self._inner.keys(start, stop, reverse=reverse))
        shared = [self._rows(layer, start, stop, reverse, values=False) for layer in self._layers]
        for key, _, _ in _merge([own, *shared], reverse):
            yield key

    def _rows(
        self, layer: Layer, start: bytes, stop: bytes, reverse: bool, *, values: bool
    ) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Yield the keys of a range that a layer has: as the thread has them, and as stored."""
        kind, prefix = start[self._head : self._head + 1], start[: self._size]
        shared = self._prefix(layer, kind)
        low = shared + start[self._size :]
        high = shared + stop[self._size :] if stop.startswith(prefix) else keys.prefix_end(shared)
        limit = _limit(layer, self._namespace) if kind == Kind.CHECKPOINT else None
        if limit is not None:
            high = min(high, shared + limit)
        rows: Iterable[tuple[bytes, bytes]]
        if values:
            rows = self._inner.range(low, high, reverse=reverse)
        else:
            rows = ((key, b"") for key in self._inner.keys(low, high, reverse=reverse))
        for key, record in rows:
            rest = key[len(shared) :]
            if shows(layer, self._namespace, kind, rest):
                yield prefix + rest, key, record

    def _prefix(self, layer: Layer, kind: bytes) -> bytes:
        return keys.of_thread(kind, layer.number) + keys.number(self._namespace)


def shows(layer: Layer, namespace: int, kind: bytes, rest: bytes) -> bool:
    """Return True if a record of a layer is in the part of the layer that a thread shows.

    Args:
        layer: The layer of the thread.
        namespace: Number of the namespace.
        kind: Kind of the record.
        rest: The key behind the number of the namespace.
    """
    limit = _limit(layer, namespace)
    if limit is None:
        return True
    if kind in (Kind.WRITES, Kind.COMPACTED):
        part, _ = keys.read_sortable_text(rest, 0)
    else:
        part = rest[keys.HASH_SIZE :] if kind == Kind.CHILD else rest
    return part < limit


def _limit(layer: Layer, namespace: int) -> bytes | None:
    """Return the first id in a key that a layer does not show. None: it shows all."""
    if namespace == keys.ROOT:
        return None if layer.last is None else keys.utf8(layer.last) + b"\x00"
    return None if layer.before is None else keys.utf8(layer.before)


def _moved(stored: bytes, key: bytes, record: bytes) -> bytes:
    return envelope.reseal(stored, key, record) if record else record


def _merge(
    streams: list[Iterator[tuple[bytes, bytes, bytes]]], reverse: bool
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Merge rows by key; of equal keys the first stream's is kept."""
    last = None
    for row in heapq.merge(*streams, key=itemgetter(0), reverse=reverse):
        if row[0] != last:
            last = row[0]
            yield row


def cut(layer: Layer, last: str, before: str | None) -> Layer:
    """Return a layer that shows no more than up to a checkpoint; see `Layer`."""
    return Layer(
        layer.number,
        layer.size,
        last if layer.last is None else min(last, layer.last),
        min(filter(None, (before, layer.before)), default=None),
    )


def write_users(writer: Writer, user: int, layers: Iterable[Layer]) -> None:
    """Note that a thread shows layers."""
    for position, layer in enumerate(layers):
        key = keys.layer_user(layer.number, user)
        records.put(writer, key, envelope.encode((position, layer.last, layer.before)))


def users(reader: Reader, number: int) -> list[tuple[int, Layer]]:
    """Return the threads that show a layer, each with the part of the layer that it shows.

    The bytes of the layer are not known here, and are 0.

    Raises:
        DamagedError: A record differs from what was stored.
    """
    prefix = keys.layer_users(number)
    found = ((key, decode_user(key, record)) for key, record in _range(reader, prefix))
    return [(keys.read_number(key, len(prefix))[0], layer) for key, (_, layer) in found]


def by_user(reader: Reader) -> dict[int, list[Layer]]:
    """Return the layers of all threads by thread, the nearest first, without the threads' records.

    What is damaged is left out.
    """
    found: dict[int, list[tuple[int, Layer]]] = {}
    for key, record in _range(reader, Kind.LAYER_USER):
        with suppress(IntegrityError):
            user, _ = keys.read_number(key, keys.read_number(key, 1)[1])
            found.setdefault(user, []).append(decode_user(key, record))
    return {user: [layer for _, layer in sorted(rows)] for user, rows in found.items()}


def _range(reader: Reader, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    return reader.range(prefix, keys.prefix_end(prefix))


def decode_user(key: bytes, record: bytes) -> tuple[int, Layer]:
    """Decode the record of a layer's user: the position of the layer in the list of the user's
    layers, and the layer with its part.

    Raises:
        DamagedError: The record differs from what was stored.
    """
    position, last, before = envelope.decode_fields(key, record, _USER_TYPES)
    return position, Layer(keys.read_number(key, 1)[0], 0, last, before)


def decode(key: bytes, rows: list[object]) -> tuple[Layer, ...]:
    """Decode the layers in the record of a thread.

    Raises:
        DamagedError: The record is invalid.
    """
    found: list[Layer] = []
    for row in rows:
        fields = row if isinstance(row, list) else []
        if (
            len(fields) != len(Layer._fields)
            or not all(map(envelope.is_count, fields[:2]))
            or not {str, NoneType}.issuperset(map(type, fields[2:]))
        ):
            envelope.raise_damaged(key, "unexpected field types")
        found.append(Layer(*fields))
    return tuple(found)
