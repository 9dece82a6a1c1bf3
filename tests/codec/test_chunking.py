"""Pieces join to the value that was split, and an edit moves few boundaries."""

from __future__ import annotations

from random import Random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb.codec import bytes_diff, chunking
from langgraph.checkpoint.lmdb.engine.chunks import MAX_CHUNK

sizes = st.integers(0, 60_000)
seeds = st.integers(0, 2**32)
KINDS = ("noise", "text", "zeros", "lines")


def body(kind: str, size: int, seed: int) -> bytes:
    """Return bytes of a kind."""
    rng = Random(seed)
    if kind == "noise":
        return rng.randbytes(size)
    if kind == "text":
        return "".join(rng.choices("etaoin shrdlu\né", k=size)).encode()[:size]
    if kind == "zeros":
        return bytes(size)
    return (b"%d: the same line again and again\n" % (seed % 9) * (size // 30 + 1))[:size]


@pytest.mark.parametrize("kind", ["noise", "text"])
def test_long_content_is_split_into_few_chunks_and_an_edit_into_small_ones(kind: str) -> None:
    whole = body(kind, 500_000, 1)
    chunks = chunking.split_pieces(b"", whole)
    assert b"".join(chunks) == whole
    assert max(map(len, chunks)) <= MAX_CHUNK
    assert len(chunks) < 500_000 / 4096
    assert max(map(len, chunking.split_pieces(b"", whole, 100_000, 115_000))) <= 4096


@pytest.mark.parametrize("kind", ["noise", "text"])
def test_text_of_20_kb_is_split_into_the_same_few_chunks_inside_any_value(kind: str) -> None:
    text = body(kind, 20_000, 1)
    alone = chunking.split_pieces(*chunking.split_header("msgpack", msgpack.packb(text)))
    assert len(alone) <= 5
    inside = msgpack.packb({"first": 1, "text": text, "last": [text[:9]]})
    assert {*alone} < {*chunking.split_pieces(*chunking.split_header("msgpack", inside))}


@given(st.sampled_from(KINDS), sizes, seeds)
def test_pieces_join_and_have_bounded_sizes(kind: str, size: int, seed: int) -> None:
    whole = body(kind, size, seed)
    pieces = chunking.split_pieces(b"", whole)
    assert b"".join(pieces) == whole
    assert all(0 < len(piece) <= MAX_CHUNK for piece in pieces)
    assert all(len(piece) >= 1024 for piece in pieces[:-1])


@pytest.mark.parametrize("kind", ["noise", "text"])
def test_edit_changes_few_chunks(kind: str) -> None:
    """On average: chance decides where the old boundaries continue behind an edit."""
    rng = Random(kind)
    new = []
    for seed in range(100):
        whole = body(kind, 50_000, seed)
        at = rng.randrange(len(whole))
        edit = rng.randbytes(rng.randrange(60))
        edited = whole[:at] + edit + whole[at + len(edit) // 2 :]
        before = set(chunking.split_pieces(b"", whole))
        new.append(sum(piece not in before for piece in chunking.split_pieces(b"", edited)))
    assert sum(new) <= 4 * len(new)


@given(st.lists(st.recursive(st.integers() | st.text() | st.binary(), st.lists, max_leaves=5)))
def test_elements_returns_encoded_elements_of_array(values: list[object]) -> None:
    values = [v for v in values if not isinstance(v, int) or -(2**63) <= v < 2**64]
    try:
        encoded = msgpack.packb(values)
    except (OverflowError, UnicodeEncodeError):
        return
    found = chunking.elements(encoded)
    assert [msgpack.unpackb(one, strict_map_key=False) for one in found] == values
    assert chunking.array_header(len(values)) + b"".join(found) == encoded
    head, rest = chunking.split_header("msgpack", encoded)
    assert head == chunking.array_header(len(values))
    assert head + rest == encoded


@given(st.binary(max_size=40))
def test_elements_refuses_bytes_that_are_not_an_array(data: bytes) -> None:
    try:
        found = chunking.elements(data)
    except ValueError:
        return
    assert chunking.array_header(len(found)) + b"".join(found) == data or data[0] in (0xDC, 0xDD)


@given(st.sampled_from(KINDS), seeds, st.integers(0, 200_000), st.integers(0, 200_000), st.binary())
def test_common_prefix_and_suffix_have_greatest_length(
    kind: str, seed: int, size: int, at: int, new: bytes
) -> None:
    one = body(kind, size, seed)
    at %= size + 1
    other = one[:at] + new + one[at + len(new) :]
    shared = bytes_diff.common_prefix(one, other)
    assert one[:shared] == other[:shared]
    assert shared == min(len(one), len(other)) or one[shared] != other[shared]
    limit = min(len(one), len(other)) - min(shared, 5)
    tail = bytes_diff.common_suffix(one, other, limit)
    assert one[len(one) - tail :] == other[len(other) - tail :]
    assert tail == limit or one[-1 - tail] != other[-1 - tail]
