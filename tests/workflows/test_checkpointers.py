"""Savers by configuration, and one saver for each store and process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import (
    StoreClosedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.workflows import (
    CheckpointerManager,
    PersistenceConfig,
    create_checkpointer,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_one_manager_for_each_store(path: Path) -> None:
    with CheckpointerManager.get_or_create(path, sync="off") as first:
        with CheckpointerManager.get_or_create(str(path), sync="off") as second:
            assert first is second
        assert isinstance(first.get_checkpointer(), LmdbSaver)
        with pytest.raises(UsageError, match="open with other options"):
            CheckpointerManager.get_or_create(path)
    with pytest.raises(StoreClosedError):
        first.get_checkpointer()


def test_savers_by_configuration(path: Path) -> None:
    assert isinstance(create_checkpointer(PersistenceConfig("memory")), InMemorySaver)
    config = PersistenceConfig("lmdb", str(path), checkpoint_ttl_days=1, enable_compression=False)
    create_checkpointer(config).close()  # type: ignore[attr-defined]
    sqlite: Any = create_checkpointer(PersistenceConfig("sqlite", f"{path}.sqlite"))
    sqlite.conn.close()
    with pytest.raises(UsageError, match="backend must be"):
        PersistenceConfig("redis")  # type: ignore[arg-type]
