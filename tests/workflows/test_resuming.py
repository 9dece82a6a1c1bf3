"""Resumption of one run, once or several times."""

from __future__ import annotations

import asyncio
from typing import Any

from langgraph.checkpoint.lmdb.workflows import (
    DurableWorkflow,
    aresume_workflow,
    resume_with_retry,
    resume_workflow,
)
from langgraph.checkpoint.lmdb.workflows.connections import default_lock_manager
from langgraph.checkpoint.lmdb.workflows.run_lock import run_lock
from tests.workflows.steps import Steps, at


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
