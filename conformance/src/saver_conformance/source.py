"""Rendering of values as Python source code, so that a failing example can be pasted and run."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Any

_PLAIN = (type(None), bool, int, str, bytes)


class Imports:
    """A collection of the imports that rendered values need."""

    def __init__(self) -> None:
        self._names: set[tuple[str, str]] = set()

    def need(self, module: str, name: str) -> str:
        """Add an import.

        Args:
            module: Module of the name.
            name: Name to import.

        Returns:
            Name as the program uses it.
        """
        self._names.add((module, name))
        return name

    def lines(self) -> list[str]:
        """Return the import statements."""
        return [f"from {module} import {name}" for module, name in sorted(self._names)]


def render(value: Any, imports: Imports) -> str:
    """Return an expression that evaluates to an equal value.

    Args:
        value: Value to render; a `Name` renders as its text.
        imports: Collection of the imports that the expression needs.

    Returns:
        Python source code on one line.
    """
    if isinstance(value, Name):
        return value.text
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if kind is float:
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if kind is dict:
        inside = ", ".join(f"{render(k, imports)}: {render(v, imports)}" for k, v in value.items())
        return f"{{{inside}}}"
    if kind is list:
        return f"[{', '.join(render(v, imports) for v in value)}]"
    if kind is tuple:
        inside = ", ".join(render(v, imports) for v in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if kind in (set, frozenset):
        if not value:
            return f"{kind.__name__}()"
        inside = ", ".join(sorted(render(v, imports) for v in value))
        return f"{{{inside}}}" if kind is set else f"frozenset({{{inside}}})"
    return _render_object(value, imports)


def _render_object(value: Any, imports: Imports) -> str:
    kind = type(value)
    if kind.__module__ == "datetime":
        # repr() of a datetime includes the module: datetime.datetime(2024, 1, 1).
        imports.need("datetime", "datetime")
        imports.need("datetime", "timedelta")
        imports.need("datetime", "timezone")
        return repr(value).replace("datetime.", "")
    name = imports.need(kind.__module__, kind.__qualname__.partition(".")[0])
    if isinstance(value, enum.Enum):
        return f"{kind.__qualname__}.{value.name}"
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return f"{name}({', '.join(f'{k}={render(v, imports)}' for k, v in fields.items())})"
    return repr(value)


class Name:
    """A variable of a program and its value.

    Args:
        text: Expression in the program.
        value: Value of the expression.
    """

    __slots__ = ("text", "value")

    def __init__(self, text: str, value: Any) -> None:
        self.text = text
        self.value = value


def resolve(value: Any) -> Any:
    """Return a value with every `Name` in its containers replaced by the value of the name.

    Args:
        value: Value to resolve; dicts, lists and tuples are copied.

    Returns:
        Value to pass to a saver.
    """
    if isinstance(value, Name):
        return value.value
    if type(value) is dict:
        return {k: resolve(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(resolve(v) for v in value)
    return value
