"""Clauses of the suite, one module for each capability."""

from __future__ import annotations

import importlib

#: Modules in running order: a clause runs after the clauses that it presumes.
MODULES = (
    "base",
    "put",
    "channel_values",
    "identity",
    "writes",
    "early_writes",
    "listing",
    "task_writes",
    "iterating",
    "deleting",
    "copying",
    "pruning",
    "history",
    "isolation",
    "branches",
    "inherited",
    "fields",
    "list_matrix",
    "apart",
    "scale",
    "arguments",
    "serializing",
    "aio",
    "concurrent",
    "processes",
    "interrupted",
    "disk_errors",
    "state_machines",
    "whole_graphs",
)


def load() -> None:
    """Import every module, which declares its clauses."""
    for module in MODULES:
        importlib.import_module(f"{__name__}.{module}")
