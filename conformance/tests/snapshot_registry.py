"""The registry of mutants of snapshot stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saver_conformance.snapshots import SnapshotStoreSpec

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Mutant:
    """A store with one fault, and the checks that must fail."""

    spec: SnapshotStoreSpec
    fault: str
    kills: tuple[str, ...]


MUTANTS: dict[str, Mutant] = {}


def mutant(*kills: str, **claims: Any) -> Callable[[type[Any]], type[Any]]:
    """Register the decorated store as a mutant that checks must kill."""

    def register(store: type[Any]) -> type[Any]:
        spec = SnapshotStoreSpec(store.__name__, open=store, **claims)
        fault = (store.__doc__ or "").rstrip(".")
        MUTANTS[store.__name__] = Mutant(spec, fault, kills)
        return store

    return register
