"""Strategies for the values in examples."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

from hypothesis import strategies as st

#: Text without surrogates, which no encoding accepts, and without NUL, which has its own clause.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)

CHANNELS = st.sampled_from(["messages", "files", "count"])
THREADS = st.sampled_from(["thread", "other"])
NAMESPACES = st.sampled_from(["", "child|inner"])

#: Values that every serializer and database accepts, for clauses with another subject.
SIMPLE: st.SearchStrategy[Any] = st.one_of(
    st.integers(0, 99),
    st.sampled_from(["", "a", "some text"]),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 9), max_size=2),
)

#: Values that code may mistake for a missing value.
FALSY: st.SearchStrategy[Any] = st.sampled_from([None, False, 0, 0.0, "", b"", [], {}])

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.sampled_from([1e20, -0.0, 1.0, float("nan"), float("inf"), 2**53 + 1, True, 1]),
)

#: A write to each special channel, which all have their own slots.
SPECIAL_WRITES: list[tuple[str, Any]] = [
    ("__error__", "failed"),
    ("__scheduled__", None),
    ("__interrupt__", "stop"),
    ("__resume__", ["go"]),
]

_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), TEXT, st.binary(max_size=8)
)

#: Nested containers whose key order must be preserved.
NESTED: st.SearchStrategy[Any] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=8,
)

#: Types beyond JSON that LangGraph's serializer supports.
RICH: st.SearchStrategy[Any] = st.one_of(
    st.datetimes(timezones=st.just(dt.timezone.utc)),
    st.dates(),
    st.timedeltas(),
    st.uuids().map(lambda u: uuid.UUID(int=u.int)),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(
        lambda d: decimal.Decimal(str(d))
    ),
    st.sets(st.integers(0, 9), max_size=3),
    st.frozensets(st.integers(0, 9), max_size=3),
)

#: Metadata that survives JSON: savers may store metadata in a JSON column.
METADATA: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**31), 2**31), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
