"""Resumption of one run and of many, recovery, reports and cleanup."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import (
    InvalidPathError,
    StoreClosedError,
    ThreadNotFoundError,
    UsageError,
)
from langgraph.checkpoint.lmdb.workflows import (
    CheckpointerManager,
    DurableWorkflow,
    PersistenceConfig,
    acleanup_old_checkpoints,
    aget_progress,
    amonitor_workflows,
    arecover,
    aresume_failed_workflows,
    aresume_workflow,
    cleanup_old_checkpoints,
    create_checkpointer,
    generate_thread_id,
    get_progress,
    monitor_workflows,
    recover,
    resume_failed_workflows,
    resume_with_retry,
    resume_workflow,
)
from langgraph.checkpoint.lmdb.workflows.__main__ import main
from langgraph.checkpoint.lmdb.workflows.connections import default_lock_manager
from langgraph.checkpoint.lmdb.workflows.run_lock import run_lock
from tests.workflows.steps import Steps, at

if TYPE_CHECKING:
    from pathlib import Path

STATES = ("complete", "failed", "waiting", "crashed")


@pytest.fixture
def steps() -> Steps:
    """A graph of three nodes."""
    return Steps()


@pytest.fixture(params=["lmdb", "memory"])
def filled(request: pytest.FixtureRequest, steps: Steps) -> Any:
    """A saver with a run in each state."""
    found = InMemorySaver() if request.param == "memory" else request.getfixturevalue("saver")
    for state in STATES:
        getattr(steps, f"leave_{state}")(found, state)
    return found


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


@pytest.mark.parametrize("is_async", [False, True])
def test_batch_resumes_what_failed(steps: Steps, filled: Any, is_async: bool) -> None:
    workflow, seen = DurableWorkflow(steps.builder, filled), []

    def progress(done: int, total: int, result: Any) -> None:
        seen.append((done, total))

    results = (
        asyncio.run(
            aresume_failed_workflows(filled, workflow.aresume, min_age_minutes=0, progress=progress)
        )
        if is_async
        else resume_failed_workflows(filled, workflow.resume, min_age_minutes=0, progress=progress)
    )
    assert sorted(result["thread_id"] for result in results) == ["crashed", "failed"]
    assert all(result["completed"] for result in results)
    assert seen == [(1, 2), (2, 2)]


def test_an_interrupt_lets_running_ones_end_and_starts_no_more(steps: Steps, filled: Any) -> None:
    ended: list[str] = []

    def progress(done: int, total: int, result: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume_failed_workflows(
            filled, ended.append, max_workers=1, min_age_minutes=0, progress=progress
        )
    assert len(ended) == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_recover_resumes_what_a_crash_left(steps: Steps, filled: Any, is_async: bool) -> None:
    graph = steps.compile(None)
    results = (
        asyncio.run(arecover(filled, graph, min_age_minutes=0))
        if is_async
        else recover(filled, graph, min_age_minutes=0)
    )
    assert [result["thread_id"] for result in results] == ["crashed"]
    assert results[0]["completed"]


def test_recover_never_passes_a_breakpoint(steps: Steps, saver: LmdbSaver) -> None:
    graph = steps.compile(saver, interrupt_before=["second"])
    graph.invoke({"ran": []}, at("t"))
    assert recover(saver, graph, min_age_minutes=0) == []
    for waiting in (False, True):
        assert (
            resume_failed_workflows(
                saver, str, min_age_minutes=0, include_waiting=waiting, graph=graph
            )
            == []
        )


GRAPH = Steps().builder


def test_the_command_recovers(
    steps: Steps, saver: LmdbSaver, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.leave_crashed(saver, "t")
    saver.close()
    command = ["recover", str(path), "--min-age-minutes", "0", "--graph"]
    assert main([*command, f"{__name__}:GRAPH"]) == 0
    assert "1/1 t: success" in capsys.readouterr().out
    assert main([*command, f"{__name__}:MISSING"]) == 2
    assert main(["recover", str(path / "x"), "--graph", f"{__name__}:GRAPH"]) == 2


def test_monitor_reports_all_runs(filled: Any) -> None:
    later, alerts = time.time() + 3600, []
    report = monitor_workflows(filled, clock=lambda: later, alert=alerts.append)
    assert report.counts["complete"] == report.counts["failed"] == report.counts["waiting"] == 1
    assert sorted(status.thread_id for status in alerts) == ["crashed", "failed"]
    assert (report.completed, report.completion_rate) == (1, pytest.approx(1 / 3))
    assert report.longest_wait_seconds == pytest.approx(3600, abs=60)
    text = report.to_prometheus()
    assert 'langgraph_workflow_runs{state="failed"} 1\n' in text
    assert asyncio.run(amonitor_workflows(filled, clock=lambda: later)).counts == report.counts


def test_cleanup_deletes_old_runs(filled: Any) -> None:
    later = time.time() + 31 * 24 * 3600
    assert cleanup_old_checkpoints(filled) == []
    assert cleanup_old_checkpoints(filled, clock=lambda: later, dry_run=True) == ["complete"]
    assert cleanup_old_checkpoints(filled, clock=lambda: later) == ["complete"]
    assert filled.get_tuple(at("complete")) is None
    rest = asyncio.run(acleanup_old_checkpoints(filled, only_complete=False, clock=lambda: later))
    assert sorted(rest) == ["crashed", "failed", "waiting"]


def test_progress_counts_two_channels(filled: Any) -> None:
    expected = {"completed": 3, "pending": 0, "progress": "3/3", "percentage": 100.0}
    assert get_progress(filled, "complete", "ran", "x") == expected
    assert asyncio.run(aget_progress(filled, "complete", "ran", "x")) == expected
    with pytest.raises(ThreadNotFoundError):
        get_progress(filled, "unknown")


def test_thread_ids_are_new_each_time() -> None:
    assert generate_thread_id("plan", "ada").startswith("plan-ada-")
    assert generate_thread_id("plan") != generate_thread_id("plan")
    with pytest.raises(UsageError, match="workflow_name must be"):
        generate_thread_id("a/b")


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


def test_wrong_arguments_are_clear_errors(saver: LmdbSaver, path: Path) -> None:
    with pytest.raises(UsageError, match="resume_function must be a function"):
        resume_workflow("t", saver, None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="max_workers must be"):
        resume_failed_workflows(saver, str, max_workers=0)
    with pytest.raises(InvalidPathError):
        resume_workflow("t", path / "missing", str)
    saver.close()
    with pytest.raises(StoreClosedError):
        monitor_workflows(saver)
