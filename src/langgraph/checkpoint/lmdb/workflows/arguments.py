"""Checks of arguments. Each returns the argument, or raises a UsageError that names it."""

from __future__ import annotations

import math
from typing import NoReturn

from langgraph.checkpoint.lmdb.errors import UsageError

_SHOWN = 80
"""Characters of a value that an error shows."""


def refuse(name: str, expected: str, value: object) -> NoReturn:
    """Raise the error of an argument that is not what it must be."""
    try:
        shown = repr(value)
    except Exception:  # noqa: BLE001 - the argument is wrong, its repr may be wrong too
        shown = object.__repr__(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    raise UsageError(f"{name} must be {expected}, got {shown}")


def text(value: object, name: str) -> str:
    """Return a str that is not empty."""
    if not isinstance(value, str) or not value:
        refuse(name, "a str that is not empty", value)
    return value


def flag(value: object, name: str) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        refuse(name, "True or False", value)
    return value


def number(value: object, name: str, unit: str, *, above: bool = False) -> float:
    """Return a finite number, 0 or more; with `above`, more than 0."""
    valid = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not valid or not math.isfinite(value) or value < 0 or (above and value == 0):  # type: ignore[arg-type, operator]
        refuse(name, f"a number of {unit}, {'above 0' if above else '0 or more'}", value)
    return value  # type: ignore[return-value]


def count(value: object, name: str, unit: str, least: int = 0) -> int:
    """Return a whole number, `least` or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        refuse(name, f"a whole number of {unit}, {least} or more", value)
    return value


def optional_count(value: object, name: str, unit: str, least: int = 0) -> int | None:
    """Return a whole number, or None."""
    return None if value is None else count(value, name, f"{unit} (or None)", least)


def function(value: object, name: str) -> None:
    """Check that an argument can be called."""
    if not callable(value):
        refuse(name, "a function", value)
