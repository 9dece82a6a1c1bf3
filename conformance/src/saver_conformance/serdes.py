"""Serializers for the stores that clauses open."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any


class PickleSerde:
    """A serializer that is independent of LangGraph's serializer."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Serialize an object."""
        return "conformance-pickle", pickle.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Deserialize an object.

        Raises:
            ValueError: If another serializer wrote the data.
        """
        kind, payload = data
        if kind != "conformance-pickle":
            raise ValueError(f"data must be written by PickleSerde, got type {kind!r}")
        return pickle.loads(payload)  # noqa: S301 - written by this process


class Fragile:
    """A value that can be deserialized only while `whole` is True."""

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
        raise ValueError("this value cannot be deserialized")
    return Fragile()


@dataclass
class Point:
    """A class that is not on LangGraph's allow-list."""

    x: int
