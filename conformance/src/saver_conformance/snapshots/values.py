"""Tasks, versions, times and data that Hypothesis draws."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

task_ids = st.sampled_from(
    ["task", "task-2", "Task", "task ", "ä", "a\x00b", "%", "x" * 600, "x" * 599 + "y"]
)
versions = st.one_of(
    st.integers(1, 6), st.sampled_from([9, 10, 11, 99, 100, 255, 256, 65536, 2**31, 2**63 - 1])
)
times = st.datetimes(
    datetime(1971, 1, 1),  # noqa: DTZ001 - the zone is drawn separately
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
)
_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=20),
)
json_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
_names = st.sampled_from(["step", "items", "", "é", "nested"])
_long = st.tuples(st.integers(0, 9), st.sampled_from([40, 900, 5000])).map(
    lambda drawn: f"item {drawn[0]} " * (drawn[1] // 7)
)
objects = st.dictionaries(_names, json_values | _long, max_size=5)


@st.composite
def changed(draw: st.DrawFn, data: dict[str, Any]) -> dict[str, Any]:
    """Draw the next state of a task: an item more, a changed value, or other data."""
    new = copy.deepcopy(data)
    how = draw(st.sampled_from(["append", "insert", "set", "same", "type", "remove", "other"]))
    if how in ("append", "insert"):
        items = new.get("items")
        items = items if isinstance(items, list) else []
        items.insert(0 if how == "insert" else len(items), draw(_long | json_values))
        new["items"] = items
    elif how == "set":
        new[draw(_names)] = draw(json_values)
    elif how == "type":  # equal in Python, different in JSON
        new["step"] = draw(st.sampled_from([1, 1.0, True, "1", 0, False, -0.0]))
    elif how == "remove":
        new.pop(draw(_names), None)
    elif how == "other":
        new = draw(objects)
    return new
