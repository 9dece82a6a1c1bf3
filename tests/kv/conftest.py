"""Fixtures of the key-value tests."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.kv import KeyValueStore, LmdbStore, MemoryStore
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from langgraph.checkpoint.lmdb.kv.postgres.connections import OwnConnections
from langgraph.checkpoint.lmdb.kv.postgres.store import PostgresStore
from langgraph.checkpoint.lmdb.kv.prefixed import PrefixedStore
from langgraph.checkpoint.lmdb.postgres.layout import CheckpointLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers import Schema


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the test's store."""
    return tmp_path / "store"


@pytest.fixture
def open_lmdb(folder: Path) -> Iterator[Callable[..., LmdbStore]]:
    """A function that opens LMDB stores, by default in the test's folder. The end closes them."""
    opened: list[LmdbStore] = []

    def open_one(path: Path | str = folder, **options: Any) -> LmdbStore:
        opened.append(LmdbStore.open(path, **{"sync": "off", **options}))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def lmdb_store(open_lmdb: Callable[..., LmdbStore]) -> LmdbStore:
    """An empty LMDB store."""
    return open_lmdb()


@pytest.fixture
def postgres_store(schema: Schema) -> Iterator[PostgresStore]:
    """An empty store on PostgreSQL."""
    connections = OwnConnections(schema.conninfo, 10, 30)
    found = PostgresStore(connections, schema.name, CheckpointLayout(), timeout=30)
    yield found
    found.close()


@pytest.fixture(params=["lmdb", "log", "memory", "prefixed", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[KeyValueStore]:
    """An empty store, of each kind in turn."""
    if request.param == "lmdb":
        yield request.getfixturevalue("lmdb_store")
    elif request.param == "log":
        with closing(LogStore.open(request.getfixturevalue("folder"), sync="off")) as log:
            yield log
    elif request.param == "prefixed":
        yield PrefixedStore(request.getfixturevalue("lmdb_store"), b"s")
    elif request.param == "postgres":
        yield request.getfixturevalue("postgres_store")
    else:
        memory = MemoryStore()
        yield memory
        memory.close()
