"""The built-in specs and their installed versions."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class BuiltInSpec:
    """A built-in spec.

    Attributes:
        reference: Reference for `load_spec`.
        distribution: Distribution that must be installed.
    """

    reference: str
    distribution: str

    @property
    def version(self) -> str | None:
        """Installed version, or None if the distribution is not installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None


_SPECS = "saver_conformance.specs"

BUILT_IN_SPECS: Final = (
    BuiltInSpec(f"{_SPECS}.memory:spec", "langgraph-checkpoint"),
    BuiltInSpec(f"{_SPECS}.sqlite:sync", "langgraph-checkpoint-sqlite"),
    BuiltInSpec(f"{_SPECS}.sqlite:aio", "langgraph-checkpoint-sqlite"),
    BuiltInSpec(f"{_SPECS}.postgres:sync", "langgraph-checkpoint-postgres"),
    BuiltInSpec(f"{_SPECS}.postgres:aio", "langgraph-checkpoint-postgres"),
    BuiltInSpec(f"{_SPECS}.lmdb:spec", "langgraph-lmdb"),
    BuiltInSpec(f"{_SPECS}.compact_postgres:spec", "langgraph-lmdb"),
    BuiltInSpec(f"{_SPECS}.lmdb_peer:sync", "langgraph-checkpoint-lmdb"),
    BuiltInSpec(f"{_SPECS}.lmdb_peer:aio", "langgraph-checkpoint-lmdb"),
    BuiltInSpec(f"{_SPECS}.objectstorage:spec", "langgraph-checkpoint-objectstorage"),
    BuiltInSpec(f"{_SPECS}.mysql:sync", "langgraph-checkpoint-mysql"),
    BuiltInSpec(f"{_SPECS}.mysql:aio", "langgraph-checkpoint-mysql"),
    BuiltInSpec(f"{_SPECS}.redisstack:sync", "langgraph-checkpoint-redis"),
    BuiltInSpec(f"{_SPECS}.redisstack:aio", "langgraph-checkpoint-redis"),
    BuiltInSpec(f"{_SPECS}.plainredis:sync", "langgraph-checkpoint-plainredis"),
    BuiltInSpec(f"{_SPECS}.plainredis:aio", "langgraph-checkpoint-plainredis"),
)
