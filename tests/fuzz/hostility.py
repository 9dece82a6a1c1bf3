"""Hostile fields: wrong type, size, sign or depth; references that loop, multiply or dangle."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb.format.envelope import encode, varint
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange, encode_ranges
from tests.fuzz.stores import NUMBER, VICTIM_NUMBER


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def ranges(*group: ChunkRange) -> bytes:
    return encode_ranges(group)


_OTHERS = (NUMBER, VICTIM_NUMBER, 0, 99, 2**63)
one_range = st.builds(
    ChunkRange,
    st.sampled_from(_OTHERS),
    st.integers(0, 5) | st.just(2**62),
    st.integers(0, 40) | st.just(2**62),
    st.integers(1, 50) | st.sampled_from([2**20, 2**40, 2**60]),
)
some_ranges = st.lists(one_range, max_size=6).map(encode_ranges)
bombs = st.sampled_from(
    [
        ranges(*[ChunkRange(NUMBER, 0, n % 2, 1) for n in range(400)]),
        b"".join(varint(n) for n in (NUMBER, 0, 2**40, 0, 1)),
        ranges(ChunkRange(NUMBER, 0, 0, 2**60)),
        b"\xff" * 12,
        b"\x80" * 40,
    ]
)
encodings = st.binary(max_size=40) | some_ranges | bombs

numbers = st.sampled_from(
    [-(2**63), -1, 0, 1, 2, 3, 239, 240, 2**31, 2**50, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.sampled_from([1.5, float("nan"), float("inf")]),
    st.sampled_from(
        ["", "x", "1", "x" * 300, "\ud800", "\x00", "msgpack", "null", "json", "pickle"]
    ),
    encodings,
    st.sampled_from([msgpack.ExtType(5, b"x"), msgpack.Timestamp(2**40, 5)]),
)
values = st.one_of(
    st.tuples(
        st.sampled_from(["msgpack", "bytes", "null", "json", "x"]),
        st.sampled_from([0, 1, 2, -1, 2**63]),
        st.binary(max_size=20),
    ),
    st.tuples(
        st.sampled_from(["msgpack", "bytes", "json"]),
        st.sampled_from([0, 1, 2, -1, 2**63]),
        st.sampled_from(
            [b"", b"\x90", b"\x93", b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"x" * 50]
        ),
        st.sampled_from([0, 1, 3000, 100_000, 2**31, 2**32, 2**60, -5]),
        st.sampled_from([0, 1, 2, 8, 9, 2**40, -1]),
        encodings,
    ),
).map(list)
anything = st.recursive(
    scalars | values,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
) | st.sampled_from([nested(100), nested(1200), [[]] * 500])


def packed(value: object) -> bytes:
    """Encode a value as msgpack; nil if msgpack cannot encode it."""
    try:
        return encode(value)
    except (ValueError, TypeError, OverflowError):
        return encode(None)


def paths(fields: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of each part of the fields of a record."""
    inside: list[tuple[Any, Any]] = []
    if isinstance(fields, list):
        inside = [*enumerate(fields)]
    elif isinstance(fields, dict):
        inside = [*fields.items()]
    found = [at]
    for key, value in inside[:20]:
        found += paths(value, (*at, key))
    return found


def replaced(fields: Any, at: tuple[Any, ...], new: Any) -> Any:
    """Return the fields with another value at a path."""
    if not at:
        return new
    changed = fields.copy()
    changed[at[0]] = replaced(fields[at[0]], at[1:], new)
    return changed
