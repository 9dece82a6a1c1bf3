"""Values and reading them. A small value is part of its record, a large one is stored as chunks.

A chunked value names its chunks by ranges. A value with many ranges groups them into nodes, which
are chunks that hold ranges. The next version shares the groups that did not change. So what a
version adds to the store depends on what changed, not on the size of the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import (
    ChunkRange,
    append_merged,
    decode_ranges,
    iter_chunks,
    total,
)
from langgraph.checkpoint.lmdb.kv.base import Reader

MAX_CHUNK = 60_000
"""Bytes of a chunk before compression: with its envelope it is below 64 KiB."""
MIN_SHARED = 64
"""Bytes of a smaller piece are shared only where its chunk follows the chunk before it. Elsewhere a
shared chunk would add a range to the value, which takes as many bytes."""
MAX_VALUE = (1 << 32) - 1
"""Bytes of a value, the most that msgpack can count."""
MAX_CHUNKS = 1 << 20
"""Chunks of a value, and nodes of one level."""
_NODE_BATCH = 64
"""Nodes that are read at a time: in a hostile store they may multiply."""
_MAX_DEPTH = 8


class ThreadVersion(NamedTuple):
    """Number and generation of a thread. Cached reads of the thread are valid while it is
    unchanged."""

    number: int
    generation: int


class InlineValue(NamedTuple):
    """A value whose payload is part of the record."""

    tag: str
    """The serializer's tag of the payload."""
    encoding: int
    """Encoding that the codec chose; the engine only keeps it."""
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return len(self.payload)


class ChunkedValue(NamedTuple):
    """A value whose payload is `head`, followed by the chunks that it names."""

    tag: str
    encoding: int
    head: bytes
    size: int
    """Bytes of the whole payload."""
    depth: int
    """Levels of nodes between `root` and the chunks. 0: `root` names the chunks."""
    root: bytes
    """Encoded ranges."""


StoredValue: TypeAlias = InlineValue | ChunkedValue


@dataclass(slots=True)
class NewChunk:
    """A piece of a value, which becomes a chunk unless the thread has the same chunk already."""

    piece: bytes
    digest: bytes
    packed: bytes | None
    """The piece as `envelope.pack` packs it. None: the store is expected to have it."""


def digest(data: bytes) -> bytes:
    """Return the 16-byte digest of a piece."""
    return blake2b(data, digest_size=16).digest()


@dataclass(slots=True)
class NewValue:
    """A value to store: chunks that the store has, and pieces that it may lack."""

    tag: str
    encoding: int
    head: bytes
    size: int
    items: list[ChunkRange | NewChunk]
    """Chunks and pieces in the order of the payload."""
    base: ChunkedValue | None = None
    """The value whose nodes may be shared."""


class StoredResult(NamedTuple):
    """A value as it was stored."""

    value: StoredValue
    ranges: list[ChunkRange]
    """Ranges of its chunks; empty if the value was not new."""


def stored_value(fields: Sequence[Any]) -> StoredValue:
    """Decode a value from the fields of a record.

    Raises:
        ValueError: The fields are invalid.
    """
    kinds = [*map(type, fields)] if type(fields) is list else []
    if kinds[:2] == [str, int] and 0 <= fields[1] <= envelope.MAX_NUMBER:
        if kinds[2:] == [bytes]:
            return InlineValue(*fields)
        if kinds[2:] == [bytes, int, int, bytes]:
            value = ChunkedValue(*fields)
            if 0 <= value.depth <= _MAX_DEPTH and len(value.head) <= value.size <= MAX_VALUE:
                return value
    raise ValueError("the fields of a value are invalid")


def fetch(reader: Reader, ranges: Iterable[ChunkRange], limit: int = MAX_VALUE) -> list[bytes]:
    """Return the payloads of chunks, in order.

    Args:
        reader: A snapshot.
        ranges: The chunks.
        limit: Bytes that they may have in total.

    Raises:
        DamagedError: A chunk is missing or damaged, or there are more bytes.
    """
    payloads: list[bytes] = []
    unseal = envelope.unseal
    singles: list[bytes] = []
    bounds: list[tuple[bytes, bytes]] = []
    ranges = list(ranges)
    for chunk_range in ranges:
        prefix = keys.segment(chunk_range.owner, chunk_range.segment)
        first = prefix + keys.number(chunk_range.start)
        if chunk_range.length == 1:
            singles.append(first)
        else:
            stop = prefix + keys.number(chunk_range.start + chunk_range.length)
            bounds.append((first, stop))
    found: Iterator[Iterator[Any]] = reader.gather(
        (lambda: reader.get_many(singles), lambda: reader.ranges(bounds))
    )
    records = zip(singles, next(found), strict=True)
    runs = zip(bounds, next(found), strict=True)
    for chunk_range in ranges:
        if chunk_range.length == 1:
            key, record = next(records)
            if record is None:
                envelope.raise_damaged(key, "the store has lost it")
            payloads.append(unseal(key, record, MAX_CHUNK))
            limit -= len(payloads[-1])
            if limit < 0:
                envelope.raise_damaged(key, "its value is longer than it says")
            continue
        before = len(payloads)
        (first, _), rows = next(runs)
        for key, record in rows:
            payloads.append(unseal(key, record, MAX_CHUNK))
            limit -= len(payloads[-1])
            if limit < 0:
                envelope.raise_damaged(key, "its value is longer than it says")
        if len(payloads) - before != chunk_range.length:
            envelope.raise_damaged(
                first, f"of {chunk_range.length} chunks from here, some are lost"
            )
    return payloads


def chunk_ranges(reader: Reader, value: ChunkedValue) -> list[ChunkRange]:
    """Return the ranges of a value's chunks, with its nodes resolved."""
    ranges = root_ranges(value)
    for _ in range(value.depth):
        ranges = children(reader, ranges)
    return ranges


def owned_ranges(
    reader: Reader, value: ChunkedValue, seen: set[tuple[int, ChunkRange]] | None = None
) -> list[ChunkRange]:
    """Return the ranges of every chunk and node that a value uses.

    Args:
        reader: A snapshot.
        value: The value.
        seen: Nodes of other values, each with its level: the ranges below them are left out. The
            nodes of this value are added. None: all ranges are returned.
    """
    ranges = root_ranges(value)
    owned = list(ranges)
    for level in range(value.depth, 0, -1):
        nodes = iter_chunks(ranges)
        ranges = children(reader, nodes if seen is None else _unseen(nodes, level, seen))
        owned += ranges
    return owned


def _unseen(
    nodes: Iterable[ChunkRange], level: int, seen: set[tuple[int, ChunkRange]]
) -> Iterator[ChunkRange]:
    """Yield the nodes of a level that were not seen before, and add them to those that were."""
    for node in nodes:
        if (level, node) not in seen:
            seen.add((level, node))
            yield node


def root_ranges(value: ChunkedValue) -> list[ChunkRange]:
    """Return the ranges of a value's root: of chunks, or of nodes.

    Raises:
        DamagedError: The root is damaged. The error names no record: the caller knows it.
    """
    try:
        return decode_ranges(value.root, MAX_CHUNKS)
    except (ValueError, IndexError) as error:
        raise DamagedError(f"a value is damaged: its root cannot be read: {error}") from error


def children(reader: Reader, nodes: Iterable[ChunkRange]) -> list[ChunkRange]:
    """Return the ranges that nodes name."""
    ranges: list[ChunkRange] = []
    count = 0
    left = iter_chunks(nodes)
    while batch := list(islice(left, _NODE_BATCH)):
        for node, payload in zip(batch, fetch(reader, batch), strict=True):
            key = keys.segment(node.owner, node.segment) + keys.number(node.start)
            try:
                below = decode_ranges(payload, MAX_CHUNKS)
            except (ValueError, IndexError) as error:
                envelope.raise_damaged(key, f"this node of a value cannot be read: {error}")
            count += total(below)
            if not below or count > MAX_CHUNKS:
                envelope.raise_damaged(key, f"the nodes of a value name {count} chunks up to here")
            append_merged(ranges, below)
    return ranges


def payload(reader: Reader, value: StoredValue) -> bytes:
    """Return the whole payload of a value."""
    if isinstance(value, InlineValue):
        return value.payload
    body = b"".join(fetch(reader, chunk_ranges(reader, value), value.size))
    check_size(value, body)
    return value.head + body


def check_size(value: ChunkedValue, body: bytes) -> None:
    """Check that a value has the size that its record names.

    Raises:
        DamagedError: The size differs.
    """
    size = len(value.head) + len(body)
    if size != value.size:
        raise DamagedError(f"a value is damaged: it has {size} bytes instead of {value.size}")
