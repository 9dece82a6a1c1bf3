"""ASAP's own stores, where `asap-protocol` is installed: it needs Python 3.13."""

from __future__ import annotations

import asyncio
import sys
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IS_INSTALLED = sys.version_info >= (3, 13) and find_spec("asap") is not None
SQLITE: dict[str, Callable[[Path], Any]] = {}
"""Functions that open ASAP's SQLite stores, by name."""
MEMORY: dict[str, Callable[[Path], Any]] = {}
"""Functions that make ASAP's stores in memory."""
PROTOCOLS: dict[str, Any] = {}
"""ASAP's protocols, and its class of snapshots."""


class Awaited:
    """The methods of an asynchronous store, each in an event loop of its own."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: asyncio.run(getattr(self.store, name)(*arguments))


if IS_INSTALLED:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from asap.models.entities import StateSnapshot as AsapSnapshot
        from asap.state import snapshot as asap_snapshot
        from asap.state.stores import memory, sqlite

    SQLITE |= {
        "asap sqlite": lambda folder: sqlite.SQLiteSnapshotStore(folder / "asap.db"),
        "asap async sqlite": lambda folder: Awaited(
            sqlite.SQLiteAsyncSnapshotStore(folder / "asap.db")
        ),
    }
    MEMORY |= {
        "asap memory": lambda _: memory.InMemorySnapshotStore(),
        "asap async memory": lambda _: Awaited(memory.AsyncInMemorySnapshotStore()),
    }
    PROTOCOLS |= {
        "StateSnapshot": AsapSnapshot,
        "SnapshotStore": asap_snapshot.SnapshotStore,
        "AsyncSnapshotStore": asap_snapshot.AsyncSnapshotStore,
    }
