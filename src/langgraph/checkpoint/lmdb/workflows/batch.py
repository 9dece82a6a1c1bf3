"""Resumption of many runs: all that failed, once; and a supervisor for what crashes left."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.connections import (
    Connection,
    achosen_lock_manager,
    aopen_connection,
    chosen_lock_manager,
    open_connection,
)
from langgraph.checkpoint.lmdb.workflows.durable import DurableWorkflow
from langgraph.checkpoint.lmdb.workflows.graphs import compiled
from langgraph.checkpoint.lmdb.workflows.locks import LockManager
from langgraph.checkpoint.lmdb.workflows.resuming import (
    Accept,
    ResumeFunction,
    ResumeResult,
    aresume_one,
    failed,
    resume_one,
)
from langgraph.checkpoint.lmdb.workflows.run_list import (
    afind_failed_workflows,
    find_failed_workflows,
)
from langgraph.checkpoint.lmdb.workflows.status import CheckpointStatus

Progress = Callable[[int, int, ResumeResult], object]
"""A function that gets the number of runs that are done, the number of all, and a report."""

_log = logging.getLogger(__name__)


def resume_failed_workflows(
    connection: Connection,
    resume_function: ResumeFunction,
    *,
    max_workers: int = 4,
    min_age_minutes: float = 5,
    max_age_hours: float = 24,
    include_waiting: bool = False,
    limit: int | None = None,
    lock_manager: LockManager | None = None,
    graph: Any = None,
    progress: Progress | None = None,
) -> list[ResumeResult]:
    """Resume the runs that failed or stalled, in parallel.

    An error of one run does not stop the others. On Ctrl-C, running ones end, and no more start.
    Only runs that hold the run lock are protected while they live, so a run of other code must not
    pause longer than `min_age_minutes` between two supersteps.

    Args:
        connection: Path or connection string of a store, or any saver.
        resume_function: As for `resume_workflow`. Threads call it in parallel.
        max_workers: Runs at a time.
        min_age_minutes: Minutes since the last activity of the thread, at least.
        max_age_hours: Hours since the last activity of the thread, at most.
        include_waiting: Resume runs that wait for an answer, too.
        limit: Resume at most so many.
        lock_manager: As for `resume_workflow`.
        graph: The graph of the runs. A run that stopped at a static breakpoint is left out.
        progress: Called after each run with the number of runs that are done, the number of all
            runs, and the report.

    Returns:
        A report for each run, the one that was active last first.

    Raises:
        UsageError: An argument is invalid.
        InvalidPathError: There is no store.
        LmdbSaverError: The saver or the lock manager failed before the first run.
    """
    _check(resume_function, max_workers, progress)
    graph = None if graph is None else compiled(graph)
    with open_connection(connection) as saver:
        locks = chosen_lock_manager(saver, lock_manager)
        found = find_failed_workflows(
            saver,
            min_age_minutes,
            max_age_hours,
            include_waiting=include_waiting,
            graph=graph,
            lock_manager=locks,
        )
        batch = _Batch(_to_resume(found, limit, graph), max_workers, progress)
        return _resume_all(batch, saver, resume_function, locks, graph)


async def aresume_failed_workflows(
    connection: Connection,
    resume_function: ResumeFunction,
    *,
    max_workers: int = 4,
    min_age_minutes: float = 5,
    max_age_hours: float = 24,
    include_waiting: bool = False,
    limit: int | None = None,
    lock_manager: LockManager | None = None,
    graph: Any = None,
    progress: Progress | None = None,
) -> list[ResumeResult]:
    """Async version of `resume_failed_workflows`: each run is a task.

    When the call is cancelled, running runs end, and no more start. A second cancellation cancels
    the running runs, too. Then they are stalled.
    """
    _check(resume_function, max_workers, progress)
    graph = None if graph is None else compiled(graph)
    async with aopen_connection(connection) as saver:
        locks = await achosen_lock_manager(saver, lock_manager)
        found = await afind_failed_workflows(
            saver,
            min_age_minutes,
            max_age_hours,
            include_waiting=include_waiting,
            graph=graph,
            lock_manager=locks,
        )
        batch = _Batch(_to_resume(found, limit, graph), max_workers, progress)
        return await _aresume_all(batch, saver, resume_function, locks, graph)


def recover(
    connection: Connection,
    graph: Any,
    *,
    interval_seconds: float | None = None,
    min_age_minutes: float = 5,
    max_age_hours: float = 24,
    max_workers: int = 4,
    lock_manager: LockManager | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> list[ResumeResult]:
    """Resume the runs of a graph that a crash interrupted, once or at intervals.

    A crash leaves a stalled run: its tasks have neither output nor error. Runs that failed with an
    error, wait for an answer, or stopped at a static breakpoint are left as they are. A crash while
    a failed run is resumed leaves the error of the attempt before it, so the run is still failed:
    `resume_failed_workflows` resumes it, which also tells about runs that do not hold the run lock.

    Args:
        connection: Path or connection string of a store, or any saver.
        graph: The graph of the runs, compiled or a builder.
        interval_seconds: Seconds between two rounds; None makes one round.
        min_age_minutes: Minutes since the last activity of the thread, at least.
        max_age_hours: Hours since the last activity of the thread, at most.
        max_workers: Runs at a time.
        lock_manager: As for `resume_workflow`.
        progress: As for `resume_failed_workflows`.
        stop: Ends the rounds when it is set. Without it, only Ctrl-C does.

    Returns:
        A report for each run of the last round.

    Raises:
        UsageError: An argument is invalid.
        InvalidPathError: There is no store.
        LmdbSaverError: The saver or the lock manager failed. A later round logs such an error.
    """
    _check(recover, max_workers, progress)
    interval = _interval(interval_seconds)
    graph, stop = compiled(graph), stop or threading.Event()
    with open_connection(connection) as saver:
        locks = chosen_lock_manager(saver, lock_manager)
        workflow = DurableWorkflow(graph, saver, lock_manager=locks)

        def make_round() -> list[ResumeResult]:
            found = find_failed_workflows(
                saver, min_age_minutes, max_age_hours, graph=graph, lock_manager=locks
            )
            batch = _Batch(_crashed(found), max_workers, progress)
            return _resume_all(batch, saver, workflow.resume, locks, graph)

        results = make_round()
        while interval is not None and not stop.wait(interval):
            try:
                results = make_round()
            except LmdbSaverError:  # a database that is away may come back
                _log.exception("a round of recovery failed")
        return results


async def arecover(
    connection: Connection,
    graph: Any,
    *,
    interval_seconds: float | None = None,
    min_age_minutes: float = 5,
    max_age_hours: float = 24,
    max_workers: int = 4,
    lock_manager: LockManager | None = None,
    progress: Progress | None = None,
) -> list[ResumeResult]:
    """Async version of `recover`. Cancel the call to end its rounds, after the running runs."""
    _check(recover, max_workers, progress)
    interval = _interval(interval_seconds)
    graph = compiled(graph)
    async with aopen_connection(connection) as saver:
        locks = await achosen_lock_manager(saver, lock_manager)
        workflow = DurableWorkflow(graph, saver, lock_manager=locks)

        async def make_round() -> list[ResumeResult]:
            found = await afind_failed_workflows(
                saver, min_age_minutes, max_age_hours, graph=graph, lock_manager=locks
            )
            batch = _Batch(_crashed(found), max_workers, progress)
            return await _aresume_all(batch, saver, workflow.aresume, locks, graph)

        results = await make_round()
        while interval is not None:
            await asyncio.sleep(interval)
            try:
                results = await make_round()
            except LmdbSaverError:
                _log.exception("a round of recovery failed")
        return results


def _to_resume(
    found: list[CheckpointStatus], limit: int | None, graph: object
) -> list[CheckpointStatus]:
    """Return the runs to resume. A run that waits without an interrupt is at a breakpoint."""
    limit = arguments.optional_count(limit, "limit", "runs")
    runs = [
        status
        for status in found
        if graph is None or status.state != "waiting" or status.interrupts
    ]
    return runs[:limit]


def _crashed(found: list[CheckpointStatus]) -> list[CheckpointStatus]:
    return [status for status in found if status.state == "stalled"]


class _Batch:
    """The runs of a batch and their reports.

    No more runs are taken than run at a time, so that an interrupt leaves none to cancel.
    """

    def __init__(
        self, runs: list[CheckpointStatus], max_workers: int, progress: Progress | None
    ) -> None:
        self._runs = runs
        self._waiting = list(enumerate(runs))[::-1]
        self.max_workers = max_workers
        self._progress = progress
        self._results: dict[int, ResumeResult] = {}

    def take(self, running: Sized) -> Iterator[tuple[int, CheckpointStatus]]:
        """Yield the runs to start while others are running, with their numbers."""
        while self._waiting and len(running) < self.max_workers:
            yield self._waiting.pop()

    def add(self, number: int, result: ResumeResult) -> None:
        """Add the report of a run, and report the progress."""
        self._results[number] = result
        if self._progress is not None:
            self._progress(len(self._results), len(self._runs), result)

    def results(self) -> list[ResumeResult]:
        """Return the reports in the order of the runs."""
        return [self._results[number] for number in sorted(self._results)]


def _resume_all(
    batch: _Batch,
    saver: BaseCheckpointSaver[Any],
    function: ResumeFunction,
    locks: LockManager,
    graph: Any,
) -> list[ResumeResult]:
    running: dict[Future[ResumeResult], int] = {}
    with ThreadPoolExecutor(batch.max_workers, "langgraph-resume") as pool:
        while True:
            for number, status in batch.take(running):
                running[pool.submit(_resume, status, saver, function, locks, graph)] = number
            if not running:
                return batch.results()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                batch.add(running.pop(future), future.result())


def _resume(
    status: CheckpointStatus,
    saver: BaseCheckpointSaver[Any],
    function: ResumeFunction,
    locks: LockManager,
    graph: Any,
) -> ResumeResult:
    accept = _is_still_as_found(status)
    try:
        return resume_one(status.thread_id, saver, function, locks, graph=graph, accept=accept)
    except Exception as error:  # noqa: BLE001 - of the saver or a lock; reported
        return failed(status.thread_id, status, None, error)


async def _aresume_all(
    batch: _Batch,
    saver: BaseCheckpointSaver[Any],
    function: ResumeFunction,
    locks: LockManager,
    graph: Any,
) -> list[ResumeResult]:
    running: dict[asyncio.Task[ResumeResult], int] = {}
    try:
        while True:
            for number, status in batch.take(running):
                task = asyncio.create_task(_aresume(status, saver, function, locks, graph))
                running[task] = number
            if not running:
                return batch.results()
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                batch.add(running.pop(task), task.result())
    finally:
        await _end(running)


async def _aresume(
    status: CheckpointStatus,
    saver: BaseCheckpointSaver[Any],
    function: ResumeFunction,
    locks: LockManager,
    graph: Any,
) -> ResumeResult:
    accept = _is_still_as_found(status)
    try:
        return await aresume_one(
            status.thread_id, saver, function, locks, graph=graph, accept=accept
        )
    except Exception as error:  # noqa: BLE001 - of the saver or a lock; reported
        return failed(status.thread_id, status, None, error)


async def _end(running: Collection[asyncio.Task[ResumeResult]]) -> None:
    """Wait for the end of runs; cancel them if this call is cancelled."""
    try:
        if running:
            await asyncio.wait(running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _is_still_as_found(found: CheckpointStatus) -> Accept:
    """Return a function that tells whether no worker resumed a run since it was found."""

    def accept(now: CheckpointStatus) -> bool:
        return (now.checkpoint_id, now.state) == (found.checkpoint_id, found.state)

    return accept


def _check(resume_function: object, max_workers: object, progress: object) -> None:
    arguments.function(resume_function, "resume_function")
    arguments.count(max_workers, "max_workers", "workers", 1)
    if progress is not None:
        arguments.function(progress, "progress")


def _interval(seconds: float | None) -> float | None:
    if seconds is None:
        return None
    return arguments.number(seconds, "interval_seconds", "seconds", above=True)
