"""Specs of published snapshot stores. A store is imported when it is opened."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from saver_conformance.snapshots.spec import SnapshotStoreSpec

if TYPE_CHECKING:
    from pathlib import Path


def _lmdb(folder: Path) -> Any:
    return import_module("langgraph.checkpoint.lmdb.snapshots").LmdbSnapshotStore(
        folder / "store", sync="off"
    )


def _async_lmdb(folder: Path) -> Any:
    return import_module("langgraph.checkpoint.lmdb.snapshots").AsyncLmdbSnapshotStore(
        folder / "store", sync="off"
    )


def _asap_sqlite(folder: Path) -> Any:
    return import_module("asap.state.stores.sqlite").SQLiteSnapshotStore(folder / "asap.db")


def _async_asap_sqlite(folder: Path) -> Any:
    return import_module("asap.state.stores.sqlite").SQLiteAsyncSnapshotStore(folder / "asap.db")


def _asap_memory(folder: Path) -> Any:  # noqa: ARG001
    return import_module("asap.state.stores.memory").InMemorySnapshotStore()


def _async_asap_memory(folder: Path) -> Any:  # noqa: ARG001
    return import_module("asap.state.stores.memory").AsyncInMemorySnapshotStore()


def _asap_snapshot(**fields: Any) -> Any:
    return import_module("asap.models.entities").StateSnapshot(**fields)


_HANGS = (
    "SQLiteSnapshotStore runs each call in an event loop of its own, and its asyncio locks are "
    "shared between these loops: a call that waits for the lock of another thread hangs or raises"
)
_SHARES = "the stores in memory keep the snapshot that was saved, and return it"
SPECS = {
    spec.name: spec
    for spec in (
        SnapshotStoreSpec("lmdb", _lmdb),
        SnapshotStoreSpec("lmdb-async", _async_lmdb, is_async=True),
        SnapshotStoreSpec(
            "asap-sqlite",
            _asap_sqlite,
            _asap_snapshot,
            known_failures={"concurrent": _HANGS},
        ),
        SnapshotStoreSpec("asap-sqlite-async", _async_asap_sqlite, _asap_snapshot, is_async=True),
        SnapshotStoreSpec(
            "asap-memory",
            _asap_memory,
            _asap_snapshot,
            is_durable=False,
            known_failures={"isolation": _SHARES},
        ),
        SnapshotStoreSpec(
            "asap-memory-async",
            _async_asap_memory,
            _asap_snapshot,
            is_async=True,
            is_durable=False,
            known_failures={"isolation": _SHARES},
        ),
    )
}
"""The specs by name. ASAP's stores need `asap-protocol`, and with it Python 3.13."""
