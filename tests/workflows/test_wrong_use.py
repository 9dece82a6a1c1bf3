"""Wrong arguments, unknown threads, and savers that do not work: one clear error each."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from psycopg_pool import PoolTimeout

from langgraph.checkpoint.lmdb.errors import (
    InvalidPathError,
    LmdbSaverError,
    StoreClosedError,
    ThreadNotFoundError,
    UsageError,
)
from langgraph.checkpoint.lmdb.workflows import (
    DatabaseUnavailableError,
    DurableWorkflow,
    WorkflowError,
    acleanup_old_checkpoints,
    afind_failed_workflows,
    aget_checkpoint_status,
    aget_progress,
    amonitor_workflows,
    aneeds_resume,
    arecover,
    aresume_failed_workflows,
    aresume_with_retry,
    aresume_workflow,
    cleanup_old_checkpoints,
    find_failed_workflows,
    generate_thread_id,
    get_checkpoint_status,
    get_progress,
    monitor_workflows,
    needs_resume,
    recover,
    resume_failed_workflows,
    resume_with_retry,
    resume_workflow,
)
from tests.workflows.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langgraph.checkpoint.lmdb import LmdbSaver

    Call = Callable[[Any], Any]

GRAPH = Steps().builder
OF_A_THREAD: dict[str, Call] = {
    "status": lambda connection: get_checkpoint_status("t", connection),
    "needs resume": lambda connection: needs_resume("t", connection),
    "resume": lambda connection: resume_workflow("t", connection, str),
    "retry": lambda connection: resume_with_retry("t", connection, str),
    "progress": lambda connection: get_progress(connection, "t"),
    "async status": lambda connection: asyncio.run(aget_checkpoint_status("t", connection)),
    "async needs resume": lambda connection: asyncio.run(aneeds_resume("t", connection)),
    "async resume": lambda connection: asyncio.run(aresume_workflow("t", connection, str)),
    "async retry": lambda connection: asyncio.run(aresume_with_retry("t", connection, str)),
    "async progress": lambda connection: asyncio.run(aget_progress(connection, "t")),
}
OF_ALL_THREADS: dict[str, Call] = {
    "find": find_failed_workflows,
    "batch": lambda connection: resume_failed_workflows(connection, str),
    "recover": lambda connection: recover(connection, GRAPH),
    "monitor": monitor_workflows,
    "cleanup": cleanup_old_checkpoints,
    "async find": lambda connection: asyncio.run(afind_failed_workflows(connection)),
    "async batch": lambda connection: asyncio.run(aresume_failed_workflows(connection, str)),
    "async recover": lambda connection: asyncio.run(arecover(connection, GRAPH)),
    "async monitor": lambda connection: asyncio.run(amonitor_workflows(connection)),
    "async cleanup": lambda connection: asyncio.run(acleanup_old_checkpoints(connection)),
}
EVERY = {**OF_A_THREAD, **OF_ALL_THREADS}


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("connection", [None, 7, b"path", object()])
def test_a_connection_that_is_neither_a_path_nor_a_saver(call: Call, connection: Any) -> None:
    with pytest.raises(
        UsageError, match="connection must be a path, a connection string or a saver, got"
    ):
        call(connection)


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
def test_a_path_without_a_store_creates_none(call: Call, path: Path) -> None:
    with pytest.raises(InvalidPathError, match="there is no store here"):
        call(path)
    assert not path.exists()
    with pytest.raises(InvalidPathError, match="a store in memory has no path"):
        call(":memory:")


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
def test_a_store_that_is_closed(call: Call, saver: LmdbSaver) -> None:
    saver.close()
    with pytest.raises(StoreClosedError, match="the store is closed"):
        call(saver)


@pytest.mark.parametrize("call", OF_ALL_THREADS.values(), ids=OF_ALL_THREADS)
def test_a_saver_that_cannot_list_its_threads(call: Call) -> None:
    with pytest.raises(UsageError, match="the saver BaseCheckpointSaver cannot list its threads"):
        call(BaseCheckpointSaver())


class Away(BaseCheckpointSaver[Any]):
    """A saver whose reading methods raise an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def get_tuple(self, *_: Any, **__: Any) -> Any:
        raise self.error

    list = get_tuple

    async def aget_tuple(self, *_: Any, **__: Any) -> Any:
        raise self.error

    async def alist(self, *_: Any, **__: Any) -> Any:
        raise self.error
        yield


DRIVER_ERRORS: dict[str, tuple[Exception, type[Exception], str]] = {
    "postgres": (
        psycopg.OperationalError("the connection is closed\nmore"),
        DatabaseUnavailableError,
        "PostgreSQL failed: the connection is closed. Check the server",
    ),
    "pool": (
        PoolTimeout("couldn't get a connection after 30.00 sec"),
        DatabaseUnavailableError,
        "PostgreSQL failed: couldn't get a connection",
    ),
    "sqlite": (
        sqlite3.OperationalError("disk I/O error"),
        DatabaseUnavailableError,
        "SQLite failed: disk I/O error",
    ),
    "closed sqlite": (
        sqlite3.ProgrammingError("Cannot operate on a closed database."),
        StoreClosedError,
        "the connection of the saver is closed",
    ),
}


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("name", DRIVER_ERRORS)
def test_a_database_that_is_away(call: Call, name: str) -> None:
    error, expected, message = DRIVER_ERRORS[name]
    with pytest.raises(LmdbSaverError, match=message) as raised:
        call(Away(error))
    assert type(raised.value) is expected
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("is_async", [False, True])
def test_a_workflow_on_a_database_that_is_away(is_async: bool) -> None:
    error = psycopg.OperationalError("the connection is closed")
    workflow = DurableWorkflow(GRAPH, Away(error))

    def call(name: str, *arguments: Any) -> Any:
        if is_async:
            return asyncio.run(getattr(workflow, f"a{name}")(*arguments))
        return getattr(workflow, name)(*arguments)

    for name in ("get_status", "resume"):
        with pytest.raises(DatabaseUnavailableError):
            call(name, "t")
    with pytest.raises(WorkflowError) as raised:
        call("execute", "t", {"ran": []})
    assert (raised.value.original_error, raised.value.state) == (error, None)


def test_other_errors_of_a_saver_are_its_own() -> None:
    for error in (KeyError("row"), sqlite3.IntegrityError("unique")):
        with pytest.raises(type(error)) as raised:
            needs_resume("t", Away(error))
        assert raised.value is error


def test_a_thread_that_does_not_exist(saver: LmdbSaver) -> None:
    workflow = DurableWorkflow(GRAPH, saver)
    for call in (
        lambda: get_progress(saver, "t"),
        lambda: asyncio.run(aget_progress(saver, "t")),
        lambda: workflow.resume("t"),
    ):
        with pytest.raises(ThreadNotFoundError, match="the thread does not exist"):
            call()
    assert get_checkpoint_status("t", saver) is None
    assert not needs_resume("t", saver)
    for result in (
        resume_workflow("t", saver, str),
        resume_with_retry("t", saver, str),
        asyncio.run(aresume_workflow("t", saver, str)),
    ):
        assert (result["status"], result["error"]) == ("not_found", None)


WRONG: list[tuple[str, Call]] = [
    ("thread_id must be a str", lambda saver: resume_workflow("", saver, str)),
    ("thread_id must be a str", lambda saver: get_progress(saver, 3)),  # type: ignore[arg-type]
    ("resume_function must be a function", lambda saver: resume_workflow("t", saver, None)),  # type: ignore[arg-type]
    ("blocking must be True", lambda saver: resume_workflow("t", saver, str, blocking=1)),  # type: ignore[arg-type]
    (
        "timeout_seconds must be",
        lambda saver: resume_workflow("t", saver, str, timeout_seconds=-1),
    ),
    (
        "lock_manager must be a LockManager",
        lambda saver: resume_workflow("t", saver, str, lock_manager="locks"),  # type: ignore[arg-type]
    ),
    ("graph must be a compiled graph", lambda saver: resume_workflow("t", saver, str, graph=3)),
    ("max_retries must be", lambda saver: resume_with_retry("t", saver, str, max_retries=-1)),
    (
        "is_transient must be a function",
        lambda saver: resume_with_retry("t", saver, str, is_transient=3),  # type: ignore[arg-type]
    ),
    ("min_age_minutes must be", lambda saver: find_failed_workflows(saver, -0.5)),
    ("max_age_hours must be more", lambda saver: find_failed_workflows(saver, 60, 1)),
    (
        "include_waiting must be",
        lambda saver: find_failed_workflows(saver, include_waiting="yes"),  # type: ignore[arg-type]
    ),
    ("max_workers must be", lambda saver: resume_failed_workflows(saver, str, max_workers=0)),
    (
        "progress must be a function",
        lambda saver: resume_failed_workflows(saver, str, progress=3),  # type: ignore[arg-type]
    ),
    ("limit must be", lambda saver: resume_failed_workflows(saver, str, limit=-1)),
    ("graph must be a compiled graph", lambda saver: recover(saver, None)),
    ("interval_seconds must be", lambda saver: recover(saver, GRAPH, interval_seconds=0)),
    ("window_hours must be", lambda saver: monitor_workflows(saver, window_hours=0)),
    ("stuck_after_minutes must be", lambda saver: monitor_workflows(saver, stuck_after_minutes=-1)),
    ("alert must be a function", lambda saver: monitor_workflows(saver, alert=3)),  # type: ignore[arg-type]
    ("days must be", lambda saver: cleanup_old_checkpoints(saver, -1)),
    ("dry_run must be", lambda saver: cleanup_old_checkpoints(saver, dry_run=0)),  # type: ignore[arg-type]
    ("only_complete must be", lambda saver: cleanup_old_checkpoints(saver, only_complete=None)),  # type: ignore[arg-type]
    ("pending must be a str", lambda saver: get_progress(saver, "t", pending="")),
    ("workflow_name must be", lambda _: generate_thread_id("")),
    ("user_id must be", lambda _: generate_thread_id("plan", "a/b")),
]


@pytest.mark.parametrize(("message", "call"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_a_wrong_argument_is_named(message: str, call: Call, saver: LmdbSaver) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        call(saver)
    assert isinstance(raised.value, UsageError)
    assert isinstance(raised.value, LmdbSaverError)
