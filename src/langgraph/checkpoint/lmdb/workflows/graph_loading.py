"""Graphs that a command line names."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from langgraph.checkpoint.lmdb.errors import UsageError


def load_graph(name: str) -> Any:
    """Return the graph `MODULE:NAME`. A function is called to make it.

    Raises:
        UsageError: The module or the name does not exist.
    """
    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        message = f"--graph must be MODULE:NAME of a graph, got {name!r} ({error})"
        raise UsageError(message) from error
    finally:
        sys.path.pop(0)
    return found if hasattr(found, "invoke") or hasattr(found, "compile") else found()
