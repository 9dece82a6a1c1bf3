"""Fixtures: an empty store of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.snapshots import LmdbSnapshotStore
from tests.snapshots.asap_stores import IS_INSTALLED
from tests.snapshots.stores import Blocking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

collect_ignore = [] if IS_INSTALLED else ["test_asap_memory.py"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The folder of the store."""
    return tmp_path / "store"


@pytest.fixture(params=[LmdbSnapshotStore, Blocking], ids=["sync", "async"])
def store_class(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The class of the store, for threads and for coroutines."""
    return request.param


@pytest.fixture(params=["lmdb", "memory"])
def store(
    request: pytest.FixtureRequest, store_class: Callable[..., Any], path: Path
) -> Iterator[Any]:
    """An empty store."""
    options = {"sync": "off"} if request.param == "lmdb" else {}
    opened = store_class(path if options else ":memory:", **options)
    yield opened
    opened.close()
