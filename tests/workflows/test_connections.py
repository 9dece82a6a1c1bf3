"""Connections: paths and savers, and those that cannot be used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.workflows import (
    aneeds_resume,
    find_failed_workflows,
    get_checkpoint_status,
    needs_resume,
)
from tests.workflows.graphs import (
    Flaky,
    fail,
    one_node,
)

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.base import BaseCheckpointSaver

    Saver = BaseCheckpointSaver[Any]


def test_path(path: Path) -> None:
    with LmdbSaver(path, sync="off") as saver:
        fail(one_node(Flaky()).compile(checkpointer=saver), {"log": []})
    assert needs_resume("t", path)
    assert needs_resume("t", str(path))
    assert asyncio.run(aneeds_resume("t", path))
    assert get_checkpoint_status("other", path) is None
    assert not needs_resume("other", path)


def test_wrong_arguments() -> None:
    with LmdbSaver(":memory:") as saver:
        for thread_id in (None, "", 3):
            with pytest.raises(UsageError, match="thread_id must be"):
                get_checkpoint_status(thread_id, saver)  # type: ignore[arg-type]
        for ages in ((-1,), (0, -1), ("x",), (60, 1), (0, 0), (float("nan"),)):
            with pytest.raises(ValueError, match="must be"):
                find_failed_workflows(saver, *ages)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="limit must be"):
            find_failed_workflows(saver, limit=-1)
