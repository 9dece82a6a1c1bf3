"""Mutants: reference savers with one deliberate fault, each with the clauses that must find it."""

from __future__ import annotations

import importlib
from typing import Any

from mutants.base import MUTANTS, Mutant

for _area in (
    "get",
    "folding",
    "put",
    "channel_values",
    "versions",
    "metadata",
    "writing",
    "slots",
    "indexes",
    "listing",
    "deleting",
    "pruning",
    "history",
    "branches",
    "matrix",
    "scale",
    "arguments",
    "concurrency",
    "disk_errors",
    "interruptions",
    "isolation",
    "graphs",
):
    importlib.import_module(f"mutants.{_area}")

__all__ = ["MUTANTS", "Mutant"]


def __getattr__(name: str) -> Any:
    """Return the spec of a mutant by name, for second processes."""
    if name in MUTANTS:
        return MUTANTS[name].spec
    raise AttributeError(name)
