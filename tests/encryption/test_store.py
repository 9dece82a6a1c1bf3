"""Tests of key-value stores, on an encrypted store and on the snapshot store in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.format.keys import Kind
from langgraph.checkpoint.lmdb.kv.prefixed import PrefixedStore
from tests.encryption.stores import encrypted
from tests.kv.test_store import *  # noqa: F403
from tests.kv.test_store_iteration import *  # noqa: F403

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv import KeyValueStore


@pytest.fixture(params=["encrypted", "snapshots"])
def store(request: pytest.FixtureRequest, inner: KeyValueStore) -> KeyValueStore:
    """An empty store."""
    found = encrypted(inner)
    return PrefixedStore(found, Kind.SNAPSHOTS) if request.param == "snapshots" else found
