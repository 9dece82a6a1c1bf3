from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given

from saver_conformance.equality import same, same_items
from saver_conformance.values import NESTED


@given(NESTED)
def test_value_is_the_same_as_itself(value: Any) -> None:
    assert same(value, value)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ([1], (1,)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1: "x"}, {True: "x"}),
        ([1], [1, 2]),
        (b"", ""),
        ({"a": None}, {}),
    ],
)
def test_values_that_equality_confuses_are_distinguished(left: Any, right: Any) -> None:
    assert not same(left, right)
    assert not same(right, left)


def test_nan_is_the_same_as_nan_only() -> None:
    assert same([math.nan], [math.nan])
    assert not same(math.nan, 0.0)


def test_key_order_can_be_ignored() -> None:
    assert same({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, ordered=False)
    assert same_items({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not same_items({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}})
    assert not same_items({"a": 1}, None)
