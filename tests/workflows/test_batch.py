"""Resumption of many runs, and recovery after crashes."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.errors import DatabaseUnavailableError, StoreClosedError
from langgraph.checkpoint.lmdb.workflows import (
    DurableWorkflow,
    arecover,
    aresume_failed_workflows,
    get_checkpoint_status,
    recover,
    resume_failed_workflows,
)
from langgraph.checkpoint.lmdb.workflows.__main__ import main
from langgraph.checkpoint.lmdb.workflows.connections import default_lock_manager
from tests.workflows.steps import Crash, Steps, at

if TYPE_CHECKING:
    from collections.abc import Callable
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


def leave_crashed(steps: Steps, saver: Any, count: int) -> None:
    """Leave some runs that crashed."""
    for number in range(count):
        steps.leave_crashed(saver, f"t{number}")


def test_an_interrupt_lets_running_ones_end_and_starts_no_more(
    steps: Steps, saver: LmdbSaver
) -> None:
    leave_crashed(steps, saver, 4)
    workflow, begun, ended = DurableWorkflow(steps.builder, saver), Queue[str](), Queue[str]()
    is_interrupted = threading.Event()

    def resume(thread_id: str) -> None:
        begun.put(thread_id)
        if thread_id != "t3":  # the newest run, which is first
            assert is_interrupted.wait(60)
        workflow.resume(thread_id)
        ended.put(thread_id)

    def progress(done: int, total: int, result: Any) -> None:
        assert {begun.get(timeout=60), begun.get(timeout=60)} == {"t3", "t2"}
        is_interrupted.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume_failed_workflows(saver, resume, max_workers=2, min_age_minutes=0, progress=progress)
    assert {ended.get(timeout=60), ended.get(timeout=60)} == {"t3", "t2"}
    assert begun.empty()
    assert default_lock_manager(saver).held() == []
    assert states(saver, 4) == ["stalled", "stalled", "complete", "complete"]


def test_a_cancelled_batch_lets_running_ones_end_and_starts_no_more(
    steps: Steps, saver: LmdbSaver
) -> None:
    leave_crashed(steps, saver, 4)
    workflow = DurableWorkflow(steps.builder, saver)

    async def run() -> None:
        begun, is_cancelled = asyncio.Queue[str](), asyncio.Event()

        async def resume(thread_id: str) -> None:
            begun.put_nowait(thread_id)
            await is_cancelled.wait()
            await workflow.aresume(thread_id)

        batch = asyncio.create_task(
            aresume_failed_workflows(saver, resume, max_workers=2, min_age_minutes=0)
        )
        assert {await begun.get(), await begun.get()} == {"t3", "t2"}
        batch.cancel()
        await asyncio.sleep(0)
        is_cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await batch
        assert begun.empty()

    asyncio.run(run())
    assert default_lock_manager(saver).held() == []
    assert states(saver, 4) == ["stalled", "stalled", "complete", "complete"]


def test_a_batch_that_is_cancelled_twice_leaves_its_runs_stalled(
    steps: Steps, saver: LmdbSaver
) -> None:
    leave_crashed(steps, saver, 3)

    async def run() -> None:
        begun, never = asyncio.Queue[str](), asyncio.Event()

        async def resume(thread_id: str) -> None:
            begun.put_nowait(thread_id)
            await never.wait()

        batch = asyncio.create_task(
            aresume_failed_workflows(saver, resume, max_workers=2, min_age_minutes=0)
        )
        assert {await begun.get(), await begun.get()} == {"t2", "t1"}
        for _ in range(2):
            batch.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await batch

    asyncio.run(run())
    assert default_lock_manager(saver).held() == []
    assert states(saver, 3) == ["stalled"] * 3


@pytest.mark.parametrize("is_async", [False, True])
def test_an_error_of_one_run_does_not_stop_the_others(
    steps: Steps, saver: LmdbSaver, is_async: bool
) -> None:
    leave_crashed(steps, saver, 3)
    workflow = DurableWorkflow(steps.builder, saver)

    def resume(thread_id: str) -> Any:
        if thread_id == "t2":
            raise RuntimeError("broken")
        return workflow.resume(thread_id)

    results = (
        asyncio.run(aresume_failed_workflows(saver, resume, max_workers=1, min_age_minutes=0))
        if is_async
        else resume_failed_workflows(saver, resume, max_workers=1, min_age_minutes=0)
    )
    assert [result["status"] for result in results] == ["error", "success", "success"]
    assert [result["thread_id"] for result in results] == ["t2", "t1", "t0"]


def test_a_batch_leaves_runs_that_another_worker_resumed(steps: Steps, saver: LmdbSaver) -> None:
    leave_crashed(steps, saver, 2)
    workflow = DurableWorkflow(steps.builder, saver)

    def resume(thread_id: str) -> Any:
        steps.ask("third")
        workflow.resume("t0")  # by another worker, after the batch has found it
        steps.fail("third")
        return workflow.resume(thread_id)

    results = resume_failed_workflows(saver, resume, max_workers=1, min_age_minutes=0)
    assert [result["status"] for result in results] == ["success", "already_running"]
    assert states(saver, 2) == ["waiting", "complete"]


def states(saver: Any, count: int) -> list[str]:
    """Return the states of some runs."""
    return states_of(saver, *(f"t{number}" for number in range(count)))


def states_of(saver: Any, *thread_ids: str) -> list[str]:
    """Return the states of the runs of threads."""
    found = [get_checkpoint_status(thread_id, saver) for thread_id in thread_ids]
    return [status.state for status in found if status is not None]


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


def test_run_that_crashes_while_it_is_resumed_after_an_error_is_left_to_batches(
    steps: Steps, saver: LmdbSaver
) -> None:
    steps.leave_failed(saver, "t")
    steps.fail("second", Crash())
    with pytest.raises(Crash):
        steps.compile(saver).invoke(None, at("t"))
    assert states_of(saver, "t") == ["failed"]
    steps.fail("second")
    workflow = DurableWorkflow(steps.builder, saver)
    assert recover(saver, steps.builder, min_age_minutes=0) == []
    (result,) = resume_failed_workflows(saver, workflow.resume, min_age_minutes=0)
    assert result["completed"]


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


class Rounds(threading.Event):
    """A stop event that calls a function instead of each wait, and then ends the rounds."""

    def __init__(self, *functions: Callable[[], object]) -> None:
        super().__init__()
        self._functions = [*functions]
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if not self._functions:
            return True
        self._functions.pop(0)()
        return False


def test_recover_makes_rounds_until_it_is_stopped(steps: Steps, saver: LmdbSaver) -> None:
    rounds = Rounds(*(partial(steps.leave_crashed, saver, name) for name in ("t0", "t1")))
    resumed = []
    results = recover(
        saver,
        steps.builder,
        interval_seconds=7,
        min_age_minutes=0,
        stop=rounds,
        progress=lambda done, total, result: resumed.append(result["thread_id"]),
    )
    assert resumed == ["t0", "t1"]
    assert [result["thread_id"] for result in results] == ["t1"]
    assert rounds.waits == [7, 7, 7]


def test_recover_continues_after_a_round_that_failed(
    steps: Steps,
    saver: LmdbSaver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def go_away() -> None:
        monkeypatch.setattr(saver, "threads", broken)

    def broken(**_: Any) -> None:
        monkeypatch.undo()
        steps.leave_crashed(saver, "t")
        raise DatabaseUnavailableError("the server is away")

    results = recover(
        saver,
        steps.builder,
        interval_seconds=7,
        min_age_minutes=0,
        stop=Rounds(go_away, lambda: None),
    )
    assert [result["status"] for result in results] == ["success"]
    assert "a round of recovery failed" in caplog.text
    assert "the server is away" in caplog.text


def test_the_first_round_of_recover_raises_its_error(steps: Steps, saver: LmdbSaver) -> None:
    saver.close()
    with pytest.raises(StoreClosedError):
        recover(saver, steps.builder, interval_seconds=7, stop=Rounds())


def test_a_cancelled_arecover_ends_its_rounds(steps: Steps, saver: LmdbSaver) -> None:
    async def run() -> None:
        resumed: asyncio.Queue[str] = asyncio.Queue()
        recovering = asyncio.create_task(
            arecover(
                saver,
                steps.builder,
                interval_seconds=1e-6,
                min_age_minutes=0,
                progress=lambda done, total, result: resumed.put_nowait(result["thread_id"]),
            )
        )
        for name in ("t0", "t1"):
            steps.leave_crashed(saver, name)
            assert await resumed.get() == name
        recovering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await recovering

    asyncio.run(run())


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
