"""A value is split against an older one: what is the same is reused, wherever the edits are."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb.codec import bytes_diff
from langgraph.checkpoint.lmdb.codec.value_cache import CachedBytes
from langgraph.checkpoint.lmdb.engine.chunks import (
    ChunkedValue,
    InlineValue,
    NewChunk,
    ThreadVersion,
    digest,
)
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange
from tests.codec.test_chunking import KINDS, body

positions = st.floats(0, 1)
edits = st.lists(st.tuples(positions, st.integers(0, 3000), st.integers(0, 3000)), max_size=4)


def new_chunk(piece: bytes) -> NewChunk:
    return NewChunk(piece, digest(piece), None)


def stored(payload: bytes) -> CachedBytes:
    """Return a value of "json" as it is cached after it was stored."""
    found = bytes_diff.split(InlineValue("json", 0, payload), None, new_chunk)
    chunk_ranges = [ChunkRange(1, 0, 0, len(found.ends))]
    value = ChunkedValue("json", 0, b"", len(payload), 0, b"")
    return CachedBytes(ThreadVersion(1, 0), value, chunk_ranges, payload, found.ends)


def check(old: bytes, new: bytes) -> int:
    """Assert that the chunks of a new value join to it; return the bytes of its new chunks."""
    cached = stored(old)
    found = bytes_diff.split(InlineValue("json", 0, new), cached, new_chunk)
    starts = [0, *cached.ends]
    pieces = []
    for item in found.items:
        if isinstance(item, ChunkRange):
            seqs = range(item.start, item.start + item.length)
            pieces += [old[starts[seq] : starts[seq + 1]] for seq in seqs]
        else:
            pieces.append(item.piece)
    assert b"".join(pieces) == new
    assert found.ends == [sum(map(len, pieces[: at + 1])) for at in range(len(pieces))]
    return sum(len(item.piece) for item in found.items if isinstance(item, NewChunk))


@given(st.sampled_from(KINDS), st.integers(0, 300_000), st.integers(0, 99), edits)
def test_chunks_join_to_the_value_after_any_edits(
    kind: str, size: int, seed: int, edits: list[tuple[float, int, int]]
) -> None:
    old = new = body(kind, size, seed)
    for number, (position, removed, added) in enumerate(edits):
        at = int(position * len(new))
        new = new[:at] + body("noise", added, number) + new[at + removed :]
    check(old, new)


@given(st.integers(0, 300_000), st.integers(0, 300_000), st.integers(0, 99))
def test_chunks_join_to_the_value_after_parts_moved(one: int, other: int, seed: int) -> None:
    old = body("text", 300_000, seed)
    check(old, old[one:] + old[:other])
    check(old, old[:other] * 2)
    check(old, old[min(one, other) :])


@pytest.mark.parametrize("kind", ["noise", "text"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_edits_far_apart_cost_their_own_chunks_only(kind: str, count: int) -> None:
    """Values of 400 KB, edited at both ends and between."""
    random = Random(count)
    for seed in range(10):
        old = body(kind, 400_000, seed)
        new = old
        for number in range(count):
            at = (len(old) - 50) * number // max(count - 1, 1)
            edit = random.randbytes(random.randrange(1, 60))
            new = new[:at] + edit + new[at + random.randrange(60) :]
        assert check(old, new) < 60_000 * count


def test_later_versions_cost_few_bytes_if_both_ends_change() -> None:
    """A counter in front of a long list, and an item behind it, change with each version."""
    random = Random(1)
    items = [random.randbytes(500).hex() for _ in range(400)]
    cached = None
    costs = []
    for version in range(100, 110):
        items.append(random.randbytes(500).hex())
        payload = json.dumps({"step": version, "items": items, "last": version}).encode()
        found = bytes_diff.split(InlineValue("json", 0, payload), cached, new_chunk)
        costs.append(sum(len(item.piece) for item in found.items if isinstance(item, NewChunk)))
        chunk_ranges = [ChunkRange(1, 0, 0, len(found.ends))]
        value = ChunkedValue("json", 0, b"", len(payload), 0, b"")
        cached = CachedBytes(ThreadVersion(1, 0), value, chunk_ranges, payload, found.ends)
    assert costs[0] > 400_000
    assert max(costs[2:]) < 8000
