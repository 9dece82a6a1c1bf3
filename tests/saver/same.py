"""Comparison of two values in every respect that a program can see."""

from __future__ import annotations

import copy
import math
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel


def same(one: Any, other: Any) -> bool:
    """Return True for values that are equal in type, value and order. NaN equals itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, BaseModel):
        return (
            same(one.__dict__, other.__dict__)
            and same(one.__pydantic_extra__, other.__pydantic_extra__)
            and one.__pydantic_fields_set__ == other.__pydantic_fields_set__
        )
    if isinstance(one, dict):
        return same([*one], [*other]) and same([*one.values()], [*other.values()])
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    if type(one).__module__ == "numpy":
        return bool(one.dtype == other.dtype and one.tobytes() == other.tobytes())
    return bool(one == other)


def rebuilt(value: Any) -> Any:
    """Return a value after one pass through LangGraph's serializer."""
    serde = JsonPlusSerializer()
    return serde.loads_typed(serde.dumps_typed(copy.deepcopy(value)))
