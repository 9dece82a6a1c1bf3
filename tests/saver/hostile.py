"""Unexpected arguments, and the places inside valid arguments where they can be put."""

from __future__ import annotations

import enum
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st


class Text(str):
    """A subclass of str whose text differs from its content."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another text"


class Word(str, enum.Enum):
    ONE = "one"


class Number(enum.IntEnum):
    ONE = 1


class Fraction(float):
    __slots__ = ()


class Mute:
    """An object whose methods all raise."""

    def __repr__(self) -> str:
        raise RuntimeError("mute")

    def __bool__(self) -> bool:
        raise RuntimeError("mute")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("mute")

    __hash__ = object.__hash__


def nonsense() -> object:
    return "nonsense"


VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**63, 2**64, -(2**63) - 1, 10**30, 1.5, 1e300,
    float("nan"), float("inf"), "", "x", "1", "\ud800", "a\x00b", "x" * 300, "é" * 200,
    Text("text"), Word.ONE, Number.ONE, Fraction(1.5), b"", b"x", bytearray(b"x"), [], {}, (),
    set(), [None], [1], ["x"], ["x", "y"], [("x", 1)], [("x",)], [(1, 2)], {"x": 1}, {1: 2},
    {None: None}, {Text("k"): 1, "k": 2}, {"configurable": {}}, {"configurable": None},
    {"configurable": {"thread_id": None}}, {"configurable": {"thread_id": "x", 1: 2}},
    object(), Mute(), [Mute()], {"x": Mute()}, Mute, nonsense, range(3), Decimal(1), 1j,
    datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=timezone.utc), UUID(int=5),  # noqa: DTZ001
    {"strategy": 5}, {"default_ttl": "x"}, {"default_ttl": 0.001}, "env", b"k" * 32,
]  # fmt: skip
values = st.sampled_from(VALUES)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of an argument: of the argument itself, and of everything inside."""
    inside: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inside = [*value.items()]
    elif isinstance(value, (list, tuple)):
        inside = [*enumerate(value)]
    return [at, *(place for key, part in inside for place in places(part, (*at, key)))]


def replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """Return the argument with another value at one path."""
    if not at:
        return new
    kind = type(value)
    items = dict(value) if kind is dict else dict(enumerate(value))
    items[at[0]] = replaced(items[at[0]], at[1:], new)
    return items if kind is dict else kind(items.values())


def renamed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """Return the argument with another key at one path, or without the key."""
    if not at:
        return value
    if len(at) > 1:
        return replaced(value, at[:1], renamed(value[at[0]], at[1:], new))
    if type(value) is not dict:
        return value
    return {new if key is at[0] else key: part for key, part in value.items()}


def removed(value: Any, at: tuple[Any, ...]) -> Any:
    """Return the argument without the value at one path."""
    if not at:
        return None
    if len(at) > 1:
        return replaced(value, at[:1], removed(value[at[0]], at[1:]))
    if type(value) is dict:
        return {key: part for key, part in value.items() if key is not at[0]}
    return type(value)(part for index, part in enumerate(value) if index != at[0])


class Spoiled:
    """An argument that hypothesis can show although its repr may raise."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        try:
            return repr(self.value)
        except RuntimeError:
            return "something with a Mute in it"


@st.composite
def spoiled(draw: st.DrawFn, good: Any) -> Spoiled:
    """Draw a valid argument with a hostile value at one or two paths."""
    value = good
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.sampled_from(places(value)))
        how = draw(st.sampled_from(("replace", "rename", "remove")))
        if how == "replace":
            value = replaced(value, at, draw(values))
        elif how == "rename":
            try:
                value = renamed(value, at, draw(values))
            except (TypeError, RuntimeError):  # an unhashable value cannot be a key
                continue
        else:
            value = removed(value, at)
    return Spoiled(value)
