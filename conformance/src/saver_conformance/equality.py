"""Equality that a store must preserve; stricter than `==`."""

from __future__ import annotations

import math
from typing import Any


def same(left: Any, right: Any, *, ordered: bool = True) -> bool:
    """Return True if a program cannot distinguish the two values.

    Unlike `==`, it distinguishes `1` from `True` and `1.0`, `-0.0` from `0.0`, a list from a tuple,
    and different key orders. NaN equals NaN.

    Args:
        left: First value.
        right: Second value.
        ordered: True to compare the key order of dicts.

    Returns:
        True if the values are the same.
    """
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    if isinstance(left, dict):
        return _same_dict(left, right, ordered=ordered)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(
            same(a, b, ordered=ordered) for a, b in zip(left, right, strict=True)
        )
    return bool(left == right)


def _same_dict(left: dict[Any, Any], right: dict[Any, Any], *, ordered: bool) -> bool:
    if len(left) != len(right):
        return False
    if ordered and not all(same(a, b) for a, b in zip(left, right, strict=True)):
        return False
    # To a dict, `1` and `True` are the same key: pair keys by type as well.
    by_type = {(type(key), key): value for key, value in right.items()}
    return all(
        (type(key), key) in by_type and same(value, by_type[type(key), key], ordered=ordered)
        for key, value in left.items()
    )


def same_items(left: Any, right: Any) -> bool:
    """Return True if two mappings have the same values, in any key order.

    Args:
        left: First mapping, for example the `channel_values` of a tuple.
        right: Second mapping.

    Returns:
        True if the keys are equal and each value is the `same`.
    """
    return (
        isinstance(left, dict)
        and isinstance(right, dict)
        and left.keys() == right.keys()
        and all(same(left[key], right[key]) for key in left)
    )
