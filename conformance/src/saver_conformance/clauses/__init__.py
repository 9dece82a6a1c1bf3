"""The clauses, one module for each capability."""

from __future__ import annotations

import importlib
import pkgutil


def load() -> None:
    """Import every module of clauses, which declares them."""
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
