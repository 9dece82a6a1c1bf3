"""Equality that a store has to preserve, which is stricter than `==`."""

from __future__ import annotations

import math
from typing import Any


def same(left: Any, right: Any, *, ordered: bool = True) -> bool:
    """Return whether two values are indistinguishable to a program that reads them.

    Unlike `==` it tells `1` from `True` and `1.0`, `-0.0` from `0.0`, a list from a tuple and one
    key order from another; it takes NaN as equal to NaN.

    Args:
        left: One value.
        right: The other.
        ordered: Whether the order of a dict's keys counts.

    Returns:
        True if nothing tells them apart.
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
    # `1` and `True` are one key to `in`, so keys are paired by type as well.
    by_type = {(type(key), key): value for key, value in right.items()}
    return all(
        (type(key), key) in by_type and same(value, by_type[type(key), key], ordered=ordered)
        for key, value in left.items()
    )


def same_items(left: Any, right: Any) -> bool:
    """Return whether two mappings hold the same values, whatever the order of their own keys.

    Args:
        left: One mapping, for instance the `channel_values` that were got.
        right: The other.

    Returns:
        True if both have the same keys, and `same` values under each of them.
    """
    return (
        isinstance(left, dict)
        and isinstance(right, dict)
        and left.keys() == right.keys()
        and all(same(left[key], right[key]) for key in left)
    )
