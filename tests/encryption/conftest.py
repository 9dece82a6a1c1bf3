"""Fixtures: a store to encrypt, and an encrypted store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.kv import KeyValueStore, LmdbStore, MemoryStore
from tests.encryption.stores import encrypted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore


@pytest.fixture(params=["lmdb", "memory"])
def inner(request: pytest.FixtureRequest, path: Path) -> Iterator[KeyValueStore]:
    """An empty store to encrypt, on LMDB and in memory."""
    store = MemoryStore() if request.param == "memory" else LmdbStore.open(path, sync="off")
    yield store
    store.close()


@pytest.fixture
def store(inner: KeyValueStore) -> EncryptedStore:
    """An empty encrypted store."""
    return encrypted(inner)
