"""The clauses, one module for each capability."""

from __future__ import annotations

import importlib

#: In the order in which they are put: a clause comes after those that it presumes.
MODULES = (
    "base",
    "put",
    "identity",
    "writes",
    "listing",
    "iterating",
    "deleting",
    "copying",
    "pruning",
    "history",
    "serialising",
    "aio",
    "concurrent",
    "processes",
    "machines",
    "whole_graphs",
)


def load() -> None:
    """Import every module of clauses, which declares them."""
    for module in MODULES:
        importlib.import_module(f"{__name__}.{module}")
