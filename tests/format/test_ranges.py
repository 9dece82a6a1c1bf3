"""Chunk ranges and chunk sets behave as plain lists and sets of chunks."""

from __future__ import annotations

import contextlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb.format import ranges
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange, ChunkSet

small = st.integers(0, 2)
one_range = st.builds(ChunkRange, small, small, st.integers(0, 12), st.integers(1, 6))
far_range = st.builds(ChunkRange, *[st.integers(0, 2**63)] * 3, st.integers(1, 2**40))
sequences = st.lists(one_range, max_size=8)
Chunk = tuple[int, int, int]


def chunks(found: list[ChunkRange]) -> list[Chunk]:
    """List the chunks of ranges one by one."""
    return [(r.owner, r.segment, seq) for r in found for seq in range(r.start, r.start + r.length)]


@given(st.lists(one_range | far_range, max_size=8))
def test_encoded_ranges_decode_to_same_ranges(sequence: list[ChunkRange]) -> None:
    assert ranges.decode_ranges(ranges.encode_ranges(sequence)) == sequence


@given(st.binary(max_size=40))
def test_invalid_encoding_raises_documented_error(data: bytes) -> None:
    with contextlib.suppress(ValueError, IndexError):
        found = ranges.decode_ranges(data)
        assert all(one.start >= 0 and one.length > 0 for one in found)


@given(sequences, sequences)
def test_append_merged_joins_adjacent_ranges(a: list[ChunkRange], b: list[ChunkRange]) -> None:
    out: list[ChunkRange] = []
    ranges.append_merged(out, a)
    ranges.append_merged(out, b)
    assert chunks(out) == chunks(a) + chunks(b)
    assert len(out) <= len(a) + len(b)
    for one, other in pairwise(out):
        assert one[:2] != other[:2] or one.start + one.length != other.start


@given(sequences, st.integers(0, 50), st.integers(0, 50))
def test_slice_ranges_returns_slice_of_chunks(
    sequence: list[ChunkRange], start: int, stop: int
) -> None:
    assert chunks(ranges.slice_ranges(sequence, start, stop)) == chunks(sequence)[start:stop]
    assert ranges.total(sequence) == len(chunks(sequence))
    assert chunks(ranges.each_chunk(sequence)) == chunks(sequence)
    assert all(one.length == 1 for one in ranges.each_chunk(sequence))


@given(sequences, sequences, sequences)
def test_common_prefix_counts_shared_chunks(
    head: list[ChunkRange], a: list[ChunkRange], b: list[ChunkRange]
) -> None:
    one: list[ChunkRange] = []
    other: list[ChunkRange] = []
    ranges.append_merged(one, [*head, *a])
    ranges.append_merged(other, [*head, *b])
    shared = ranges.common_prefix(one, other)
    assert chunks(one)[:shared] == chunks(other)[:shared]
    assert shared >= ranges.total(head[:-1])
    assert ranges.common_prefix(one, one) == ranges.total(one)


@given(st.lists(sequences, max_size=4), sequences)
def test_chunk_set_behaves_as_plain_set(
    added: list[list[ChunkRange]], other: list[ChunkRange]
) -> None:
    covered, less = ChunkSet(), ChunkSet()
    for sequence in added:
        covered.add(sequence)
    less.add(other)
    plain = {chunk for sequence in added for chunk in chunks(sequence)}
    assert set(chunks(covered.ranges())) == plain
    assert len(chunks(covered.ranges())) == len(plain)
    assert set(chunks(covered.minus(less).ranges())) == plain - set(chunks(other))
    assert set(chunks(less.minus(covered).ranges())) == set(chunks(other)) - plain
    assert covered.owners() == {owner for owner, _, _ in plain}
    for owner in covered.owners():
        assert set(chunks(covered.ranges(owner))) == {c for c in plain if c[0] == owner}
    assert bool(covered) == bool(plain)
