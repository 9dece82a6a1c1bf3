"""Resumption of many runs, and recovery after crashes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.workflows import (
    DurableWorkflow,
    arecover,
    aresume_failed_workflows,
    recover,
    resume_failed_workflows,
)
from langgraph.checkpoint.lmdb.workflows.__main__ import main
from tests.workflows.steps import Steps, at

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.lmdb import LmdbSaver


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
