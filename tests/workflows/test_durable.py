"""Runs of `DurableWorkflow`: one worker at a time, through crashes, failures and interrupts."""

from __future__ import annotations

import asyncio
import os
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langgraph.checkpoint.lmdb.errors import (
    LmdbSaverError,
    StoreClosedError,
    ThreadNotFoundError,
    UsageError,
)
from langgraph.checkpoint.lmdb.workflows import (
    AlreadyRunningError,
    DurableWorkflow,
    FileLockManager,
    PostgresLockManager,
    WorkflowError,
)
from langgraph.checkpoint.lmdb.workflows.errors import LockLostError
from tests.kv.processes import in_thread
from tests.workflows.steps import Steps, at
from tests.workflows.test_postgres_locks import end_connections

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.lmdb import LmdbSaver

ALL = ["first", "second", "third"]


@pytest.fixture(params=["lmdb", "memory"])
def any_saver(request: pytest.FixtureRequest) -> Any:
    """An empty saver."""
    return InMemorySaver() if request.param == "memory" else request.getfixturevalue("saver")


def test_execute_runs_the_graph(steps: Steps, any_saver: Any) -> None:
    workflow = DurableWorkflow(steps.builder, any_saver)
    assert workflow.get_status("t") is None
    assert workflow.execute("t", {"ran": []})["ran"] == ALL
    status = workflow.get_status("t")
    assert status is not None
    assert status.is_complete


def test_a_failure_is_a_workflow_error_with_the_state(steps: Steps, any_saver: Any) -> None:
    workflow = DurableWorkflow(steps.compile(None), any_saver)
    steps.fail("second", RuntimeError("broken"))
    with pytest.raises(WorkflowError, match="the workflow failed: RuntimeError: broken") as raised:
        workflow.execute("t", {"ran": []})
    again = pickle.loads(pickle.dumps(raised.value))
    for error in (raised.value, again):
        assert error.thread_id == "t"
        assert error.state.state == "failed"
        assert error.state.next == ("second",)
        assert isinstance(error.original_error, RuntimeError)
        assert str(error) == str(raised.value)
    steps.fail("second", None)
    assert workflow.resume("t")["ran"] == ALL


def test_a_workflow_error_with_an_error_that_cannot_be_pickled_can(steps: Steps) -> None:
    class OddError(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__("odd")

    again = pickle.loads(pickle.dumps(WorkflowError("t", lambda: None, OddError(1, 2))))
    assert again.state is None
    assert isinstance(again.original_error, LmdbSaverError)
    assert "OddError: odd" in str(again.original_error)


def test_resume_continues_after_a_crash(steps: Steps, any_saver: Any) -> None:
    steps.leave_crashed(any_saver, "t")
    workflow = DurableWorkflow(steps.builder, any_saver)
    status = workflow.get_status("t")
    assert status is not None
    assert status.state == "stalled"
    assert workflow.resume("t")["ran"] == ALL
    assert workflow.resume("t")["ran"] == ALL


def test_resume_answers_an_interrupt(steps: Steps, any_saver: Any) -> None:
    steps.ask("second")
    workflow = DurableWorkflow(steps.builder, any_saver)
    assert "__interrupt__" in workflow.execute("t", {"ran": []})
    assert workflow.resume("t", Command(resume="yes"))["answer"] == "yes"


def test_resume_updates_the_state_first(steps: Steps, any_saver: Any) -> None:
    steps.leave_failed(any_saver, "t")
    result = DurableWorkflow(steps.builder, any_saver).resume("t", {"answer": "new"})
    assert result == {"ran": ALL, "answer": "new"}


def test_a_second_worker_gets_an_error(steps: Steps, any_saver: Any) -> None:
    workflow = DurableWorkflow(steps.builder, any_saver)
    second = DurableWorkflow(steps.builder, any_saver)

    def compete() -> None:
        status = second.get_status("t")
        assert status is not None
        assert status.state == "running"
        for call in (lambda: second.execute("t", {"ran": []}), lambda: second.resume("t")):
            with pytest.raises(AlreadyRunningError, match=f"run by process {os.getpid()} on"):
                call()
        second.execute("other", {"ran": []})

    steps.actions["second"] = lambda: None if second.get_status("other") else in_thread(compete)
    workflow.execute("t", {"ran": []})
    assert second.resume("other")["ran"] == ALL


def test_the_lock_is_released_when_the_run_is_interrupted(steps: Steps, any_saver: Any) -> None:
    steps.fail("second", KeyboardInterrupt())
    workflow = DurableWorkflow(steps.builder, any_saver)
    with pytest.raises(KeyboardInterrupt):
        workflow.execute("t", {"ran": []})
    steps.fail("second", None)
    assert workflow.resume("t")["ran"] == ALL


def test_async_methods(steps: Steps, any_saver: Any) -> None:
    workflow = DurableWorkflow(steps.builder, any_saver)

    async def run() -> None:
        with pytest.raises(ThreadNotFoundError):
            await workflow.aresume("t")
        steps.fail("second", RuntimeError("broken"))
        with pytest.raises(WorkflowError) as raised:
            await workflow.aexecute("t", {"ran": []})
        assert raised.value.state.state == "failed"
        steps.fail("second", None)
        results = await asyncio.gather(
            workflow.aresume("t"), workflow.aresume("t"), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == [
            "AlreadyRunningError",
            "dict",
        ]
        status = await workflow.aget_status("t")
        assert status is not None
        assert status.is_complete

    asyncio.run(run())


@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_that_lost_its_lock_stores_nothing_more(
    steps: Steps, saver: LmdbSaver, path: Path, is_async: bool
) -> None:
    manager = FileLockManager(path)
    workflow = DurableWorkflow(steps.builder, saver, lock_manager=manager)

    def lose() -> None:
        for file in manager.folder.iterdir():
            file.unlink()

    steps.actions["second"] = lose
    with pytest.raises(LockLostError):
        asyncio.run(workflow.aexecute("t", {"ran": []})) if is_async else workflow.execute(
            "t", {"ran": []}
        )
    found = saver.get_tuple(at("t"))
    assert found is not None
    assert found.checkpoint["channel_values"]["ran"] == ["first"]
    assert not found.pending_writes
    steps.fail("second", None)
    assert workflow.resume("t")["ran"] == ALL


def test_a_run_whose_connection_ends_stores_nothing_more(
    steps: Steps, saver: LmdbSaver, postgres: str
) -> None:
    with PostgresLockManager(postgres) as manager:
        workflow = DurableWorkflow(steps.builder, saver, lock_manager=manager)
        steps.actions["second"] = lambda: end_connections(postgres, "langgraph-lock %")
        with pytest.raises(LockLostError):
            workflow.execute("t", {"ran": []})
        found = saver.get_tuple(at("t"))
        assert found is not None
        assert found.checkpoint["channel_values"]["ran"] == ["first"]
        steps.fail("second", None)
        assert workflow.resume("t")["ran"] == ALL


def test_errors_of_the_store_are_passed_on(steps: Steps, saver: LmdbSaver) -> None:
    workflow = DurableWorkflow(steps.builder, saver)
    saver.close()
    with pytest.raises(StoreClosedError):
        workflow.execute("t", {"ran": []})
    with pytest.raises(StoreClosedError):
        workflow.get_status("t")


def test_arguments_are_checked(steps: Steps, saver: LmdbSaver) -> None:
    workflow = DurableWorkflow(steps.builder, saver)
    for thread_id in (None, "", 7):
        with pytest.raises(UsageError, match="thread_id must be a str"):
            workflow.execute(thread_id, {"ran": []})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="updates must be a dict, a Command or None"):
        workflow.resume("t", "yes")
    with pytest.raises(ThreadNotFoundError):
        workflow.resume("unknown")
    with pytest.raises(UsageError, match="checkpointer must be a saver"):
        DurableWorkflow(steps.builder, "checkpoints")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="graph must be a compiled graph"):
        DurableWorkflow(None, saver)
    with pytest.raises(UsageError, match="lock_manager must be a LockManager or None"):
        DurableWorkflow(steps.builder, saver, lock_manager="locks")  # type: ignore[arg-type]
