"""Resumption of one run, once or several times."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.lock_files import run_lock
from langgraph.checkpoint.lmdb.workflows import (
    DurableWorkflow,
    aresume_with_retry,
    aresume_workflow,
    resume_with_retry,
    resume_workflow,
)
from langgraph.checkpoint.lmdb.workflows.connections import default_lock_manager
from langgraph.checkpoint.lmdb.workflows.local_locks import LocalLockManager
from tests.workflows.steps import Crash, Steps, at


def test_resume_workflow_reports(steps: Steps, filled: Any) -> None:
    workflow = DurableWorkflow(steps.builder, filled)
    assert resume_workflow("x", filled, workflow.resume)["status"] == "not_found"
    assert resume_workflow("complete", filled, workflow.resume)["status"] == "already_complete"
    with default_lock_manager(filled).lock(run_lock("failed")):
        for wait in ({}, {"blocking": True, "timeout_seconds": 0.01}):
            busy = resume_workflow("failed", filled, workflow.resume, **wait)
            assert busy["status"] == "already_running"
    steps.fail("third", RuntimeError("again"))
    broken = resume_workflow("failed", filled, workflow.resume)
    assert (broken["status"], broken["completed"]) == ("error", False)
    steps.fail("third")
    done = resume_workflow(
        "failed", filled, lambda: steps.compile(filled).invoke(None, at("failed"))
    )
    assert (done["status"], done["completed"], done["error"]) == ("success", True, None)
    assert done["result"]["ran"] == ["first", "second", "third"]
    assert done["before_checkpoint"] != done["after_checkpoint"]
    again = asyncio.run(aresume_workflow("crashed", filled, workflow.aresume))
    assert again["completed"]


def test_retries_only_transient_errors(steps: Steps, filled: Any) -> None:
    pauses: list[float] = []
    calls: list[str] = []

    def resume(thread_id: str) -> None:
        calls.append(thread_id)
        raise ConnectionError if len(calls) < 3 else ValueError

    result = resume_with_retry("failed", filled, resume, sleep=pauses.append)
    assert isinstance(result["error"], ValueError)
    assert (len(calls), len(pauses)) == (3, 2)
    calls.clear()
    result = resume_with_retry("failed", filled, resume, max_retries=1, sleep=pauses.append)
    assert isinstance(result["error"], ConnectionError)
    assert len(calls) == 2


def test_async_retries(filled: Any) -> None:
    pauses: list[float] = []
    calls: list[str] = []

    async def resume(thread_id: str) -> str:
        calls.append(thread_id)
        if len(calls) < 3:
            raise TimeoutError
        return "done"

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    result = asyncio.run(aresume_with_retry("failed", filled, resume, sleep=pause))
    assert (result["status"], result["result"]) == ("success", "done")
    assert (len(calls), len(pauses)) == (3, 2)


@pytest.mark.parametrize("is_async", [False, True])
def test_pauses_grow_exponentially_with_jitter(filled: Any, is_async: bool) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    def resume(_: str) -> None:
        raise ConnectionError

    result = (
        asyncio.run(aresume_with_retry("failed", filled, resume, max_retries=8, sleep=pause))
        if is_async
        else resume_with_retry("failed", filled, resume, max_retries=8, sleep=pauses.append)
    )
    assert isinstance(result["error"], ConnectionError)
    bases = [0.5, 1, 2, 4, 8, 16, 30, 30]
    jitter = [pause - base for pause, base in zip(pauses, bases, strict=True)]
    assert all(0 <= each <= 0.5 for each in jitter)
    assert len({*jitter}) > 1


def test_is_transient_replaces_the_default(filled: Any) -> None:
    pauses: list[float] = []

    def resume(_: str) -> None:
        raise ValueError("odd")

    result = resume_with_retry(
        "failed",
        filled,
        resume,
        is_transient=lambda error: str(error) == "odd",
        sleep=pauses.append,
    )
    assert (result["status"], len(pauses)) == ("error", 3)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_blocking_call_waits_for_the_lock(steps: Steps, filled: Any, is_async: bool) -> None:
    locks = Watched()
    workflow = DurableWorkflow(steps.builder, filled, lock_manager=locks)
    locks.acquire(run_lock("failed"))

    def resume() -> Any:
        if is_async:
            return asyncio.run(
                aresume_workflow("failed", filled, workflow.aresume, locks, blocking=True)
            )
        return resume_workflow("failed", filled, workflow.resume, locks, blocking=True)

    with ThreadPoolExecutor(1) as pool:
        resuming = pool.submit(resume)
        assert locks.has_failed.wait(60)
        assert not resuming.done()
        locks.release(run_lock("failed"))
        assert resuming.result()["status"] == "success"


def test_a_run_in_an_unknown_state_is_resumed_only_with_its_graph(
    steps: Steps, filled: Any
) -> None:
    found = filled.get_tuple(at("failed"))
    filled.put(found.config, {**found.checkpoint, "v": 3}, found.metadata, {})
    workflow = DurableWorkflow(steps.builder, filled)
    with pytest.raises(UsageError, match="the state of the run is unknown"):
        resume_workflow("failed", filled, workflow.resume)
    with pytest.raises(UsageError, match="the state of the run is unknown"):
        asyncio.run(aresume_workflow("failed", filled, workflow.aresume))
    assert default_lock_manager(filled).held() == []
    steps.fail("third", ConnectionError("away"))
    result = resume_with_retry(
        "failed", filled, workflow.resume, max_retries=0, graph=steps.builder
    )
    assert result["status"] == "error"
    steps.fail("third")
    assert resume_workflow("failed", filled, workflow.resume, graph=steps.builder)["completed"]


def test_a_complete_run_in_an_unknown_state_is_not_resumed(steps: Steps, filled: Any) -> None:
    found = filled.get_tuple(at("complete"))
    filled.put(found.config, {**found.checkpoint, "v": 3}, found.metadata, {})
    workflow = DurableWorkflow(steps.builder, filled)
    call = partial(resume_workflow, "complete", filled, workflow.resume)
    with pytest.raises(UsageError, match="unknown"):
        call()
    assert call(graph=steps.builder)["status"] == "already_complete"


@pytest.mark.parametrize("is_async", [False, True])
def test_an_exception_is_logged_and_an_interrupt_passes(
    steps: Steps, filled: Any, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    def resume(error: BaseException) -> Any:
        def function() -> None:
            raise error

        if is_async:
            return asyncio.run(aresume_workflow("failed", filled, function))
        return resume_workflow("failed", filled, function)

    result = resume(RuntimeError("odd"))
    assert (result["status"], str(result["error"])) == ("error", "odd")
    assert "resumption of thread 'failed' failed" in caplog.text
    assert "Traceback" in caplog.text
    with pytest.raises(Crash):
        resume(Crash())
    assert default_lock_manager(filled).held() == []


class Watched(LocalLockManager):
    """A lock manager that tells when an attempt to acquire a lock has failed."""

    def __init__(self) -> None:
        super().__init__()
        self.has_failed = threading.Event()

    def acquire(self, name: str, blocking: bool = True, timeout: float | None = None) -> bool:
        if super().acquire(name, blocking=False):
            return True
        self.has_failed.set()
        return super().acquire(name, blocking, timeout)
