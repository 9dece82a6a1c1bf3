"""Serializers that clauses open a saver with."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any


class PickleSerde:
    """A serializer that shares nothing with LangGraph's own."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Serialise an object."""
        return "conformance-pickle", pickle.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Rebuild an object.

        Raises:
            ValueError: If another serializer made it.
        """
        kind, payload = data
        if kind != "conformance-pickle":
            raise ValueError(f"{kind!r} was not written by this serializer")
        return pickle.loads(payload)  # noqa: S301 - made by the suite a moment ago


class Fragile:
    """A value that can be stored, and rebuilt only while it is `whole`."""

    whole = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fragile)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "Fragile()"

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return _rebuild, ()


def _rebuild() -> Fragile:
    if not Fragile.whole:
        raise ValueError("this value cannot be rebuilt")
    return Fragile()


@dataclass
class Point:
    """A class that LangGraph's strict serializer does not know."""

    x: int
