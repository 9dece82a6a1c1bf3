"""Small deliberate faults in the reference saver, each with the clauses that have to find it."""

from __future__ import annotations

import importlib
from typing import Any

from mutants.base import MUTANTS, Mutant

for _area in (
    "reading",
    "putting",
    "writing",
    "listing",
    "deleting",
    "pruning",
    "walking",
    "meeting",
    "whole",
):
    importlib.import_module(f"mutants.{_area}")

__all__ = ["MUTANTS", "Mutant"]


def __getattr__(name: str) -> Any:
    """Find a mutant's spec by name, as a second process does."""
    if name in MUTANTS:
        return MUTANTS[name].spec
    raise AttributeError(name)
