"""Differences: messages by id, texts by word, nested values by path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb.views.diffs import changes_of, word_diff
from langgraph.checkpoint.lmdb.views.plain import PlainSerializer

VALUES = st.recursive(
    st.one_of(st.none(), st.integers(0, 3), st.text("ab ", max_size=4)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
)


def plain(value: Any) -> Any:
    return PlainSerializer().loads_typed(JsonPlusSerializer().dumps_typed(value))


def changes(before: Any, after: Any) -> list[tuple[str, str, Any, Any]]:
    return [
        (change.kind, change.path, change.before, change.after)
        for change in changes_of("c", plain(before), plain(after))
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (1, 1, []),
        (1, 2, [("changed", "c", 1, 2)]),
        ("a", 1, [("changed", "c", "a", 1)]),
        (True, 1, [("changed", "c", True, 1)]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("changed", "c.a.b", 1, 2)]),
        ({"a": 1}, {"b": 1}, [("removed", "c.a", 1, None), ("added", "c.b", None, 1)]),
        ([1, 2], [1, 2, 3], [("added", "c[2]", None, 3)]),
        ([1, 2], [1], [("removed", "c[1]", 2, None)]),
        ([1, [2]], [1, [3]], [("changed", "c[1][0]", 2, 3)]),
    ],
)
def test_values_are_compared_by_path(before: Any, after: Any, expected: list[Any]) -> None:
    assert changes(before, after) == expected


def test_messages_are_compared_by_id() -> None:
    before = [HumanMessage("Hi", id="1"), AIMessage("Hello there", id="2"), AIMessage("x", id="3")]
    after = [before[2], AIMessage("Hello here", id="2"), HumanMessage("Bye", id="4")]
    found = changes(before, after)
    assert [(kind, path) for kind, path, _, _ in found] == [
        ("removed", "c[id=1]"),
        ("changed", "c[id=2].content"),
        ("added", "c[id=4]"),
    ]


def test_messages_without_ids_are_compared_by_place() -> None:
    found = changes([HumanMessage("a")], [HumanMessage("a"), HumanMessage("b")])
    assert [(kind, path) for kind, path, _, _ in found] == [("added", "c[1]")]


@given(VALUES, VALUES)
def test_there_are_changes_between_values_that_differ(before: Any, after: Any) -> None:
    assert bool(changes(before, after)) == (before != after)
    assert changes(before, before) == []


@given(st.text("ab .\n"), st.text("ab .\n"))
def test_words_of_both_texts_are_complete(before: str, after: str) -> None:
    words = word_diff(before, after)
    assert words is not None
    assert "".join(text for kind, text in words if kind != "added") == before
    assert "".join(text for kind, text in words if kind != "removed") == after


def test_word_diff_of_very_long_texts_is_left_out() -> None:
    assert word_diff("a " * 5000, "b " * 5000) is None
