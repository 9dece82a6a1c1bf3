"""The error for a damaged value names a record that the store has, or none."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.engine import chunks
from langgraph.checkpoint.lmdb.engine.chunks import ChunkedValue
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange, encode_ranges
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import Writer

NODE = keys.segment(116, 1) + keys.number(0)
"""The key of a node. 116 is the letter that begins the keys of threads."""


def value(*, depth: int, root: bytes, size: int = 10) -> ChunkedValue:
    return ChunkedValue("msgpack", 0, b"", size, depth, root)


def test_a_damaged_root_names_no_record() -> None:
    with MemoryStore().read() as reader, pytest.raises(DamagedError, match="root") as failure:
        chunks.payload(reader, value(depth=0, root=b"t\xff\xff"))
    assert failure.value.record is None


@pytest.mark.parametrize("payload", [b"t\xff\xff", b""])
def test_a_damaged_node_names_its_own_key(payload: bytes) -> None:
    store = MemoryStore()

    def write(writer: Writer) -> None:
        writer.put(NODE, envelope.seal(NODE, envelope.pack(payload, None)))

    store.write(write)
    root = encode_ranges([ChunkRange(116, 1, 0, 1)])
    with store.read() as reader, pytest.raises(DamagedError, match="node") as failure:
        chunks.payload(reader, value(depth=1, root=root))
    assert failure.value.record == NODE.hex()


def test_a_value_of_another_size_names_no_record() -> None:
    store = MemoryStore()

    def write(writer: Writer) -> None:
        writer.put(NODE, envelope.seal(NODE, envelope.pack(b"12345", None)))

    store.write(write)
    root = encode_ranges([ChunkRange(116, 1, 0, 1)])
    with store.read() as reader, pytest.raises(DamagedError, match="5 bytes") as failure:
        chunks.payload(reader, value(depth=0, root=root))
    assert failure.value.record is None


@pytest.mark.parametrize("seen", [None, set()])
def test_nodes_that_are_missing_are_not_listed(seen: set[tuple[int, ChunkRange]] | None) -> None:
    """A damaged root may name a million nodes: the first missing one ends the search."""
    damaged = value(depth=8, root=encode_ranges([ChunkRange(116, 1, 0, chunks.MAX_CHUNKS)]))
    with MemoryStore().read() as reader:
        tracemalloc.start()
        with pytest.raises(DamagedError):
            chunks.owned_ranges(reader, damaged, seen)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20
