"""Connections: paths and savers, and those that cannot be used."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.conninfo import make_conninfo

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.workflows import (
    DatabaseUnavailableError,
    PersistenceConfig,
    acreate_checkpointer,
    afind_failed_workflows,
    aneeds_resume,
    create_checkpointer,
    find_failed_workflows,
    get_checkpoint_status,
    needs_resume,
)
from tests.servers import end_connections
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


def test_postgres_that_is_away(postgres: str) -> None:
    saver: Any = create_checkpointer(PersistenceConfig("postgres", with_name(postgres, "away")))
    try:
        fail(one_node(Flaky()).compile(checkpointer=saver), {"log": []})
        assert needs_resume("t", saver)
        saver.conn.close()
        for call in (partial(needs_resume, "t"), partial(get_checkpoint_status, "t")):
            with pytest.raises(DatabaseUnavailableError, match="PostgreSQL failed: "):
                call(saver)
        with pytest.raises(DatabaseUnavailableError, match="PostgreSQL failed: "):
            find_failed_workflows(saver, 0)
    finally:
        saver.conn.close()


async def find_in_ended_session(conninfo: str) -> None:
    saver: Any = await acreate_checkpointer(
        PersistenceConfig("postgres", with_name(conninfo, "ended"), 1, 1)
    )
    try:
        assert await aneeds_resume("unknown", saver) is False
        await asyncio.to_thread(end_connections, conninfo, "ended")
        with pytest.raises(DatabaseUnavailableError, match="PostgreSQL failed: "):
            await afind_failed_workflows(saver, 0)
        assert await aneeds_resume("unknown", saver) is False  # on another connection
    finally:
        await saver.conn.close()


def test_find_after_the_server_ended_the_session(postgres: str) -> None:
    asyncio.run(find_in_ended_session(postgres))


def with_name(conninfo: str, name: str) -> str:
    """Return a connection string whose sessions have a name."""
    return make_conninfo(conninfo, application_name=name)
