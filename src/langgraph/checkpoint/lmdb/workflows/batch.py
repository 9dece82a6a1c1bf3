"""Resumption of many runs: all that failed, once; and a supervisor for what crashes left."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.connections import (
    aopen_connection,
    chosen_lock_manager,
    open_connection,
)
from langgraph.checkpoint.lmdb.workflows.durable import DurableWorkflow
from langgraph.checkpoint.lmdb.workflows.graphs import compiled
from langgraph.checkpoint.lmdb.workflows.resuming import aresume_one, failed, resume_one
from langgraph.checkpoint.lmdb.workflows.run_list import (
    afind_failed_workflows,
    find_failed_workflows,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.base import BaseCheckpointSaver

    from langgraph.checkpoint.lmdb.workflows.connections import Connection
    from langgraph.checkpoint.lmdb.workflows.locks import LockManager
    from langgraph.checkpoint.lmdb.workflows.resuming import Accept, ResumeFunction, ResumeResult
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
        connection: Path of a store, or any saver.
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
        InvalidPathError: The path holds no store.
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
        runs = _to_resume(found, limit, has_graph=graph is not None)
        return _resume_all(saver, runs, resume_function, locks, max_workers, progress)


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

    When the call is cancelled, its runs are cancelled, too.
    """
    _check(resume_function, max_workers, progress)
    graph = None if graph is None else compiled(graph)
    async with aopen_connection(connection) as saver:
        locks = chosen_lock_manager(saver, lock_manager)
        found = await afind_failed_workflows(
            saver,
            min_age_minutes,
            max_age_hours,
            include_waiting=include_waiting,
            graph=graph,
            lock_manager=locks,
        )
        runs = _to_resume(found, limit, has_graph=graph is not None)
        return await _aresume_all(saver, runs, resume_function, locks, max_workers, progress)


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

    Runs that failed with an error, wait for an answer, or stopped at a static breakpoint are left
    as they are. See `resume_failed_workflows` for runs that do not hold the run lock.

    Args:
        connection: Path of a store, or any saver.
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
        InvalidPathError: The path holds no store.
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
            runs = [status for status in found if status.state == "stalled"]
            return _resume_all(saver, runs, workflow.resume, locks, max_workers, progress)

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
    """Async version of `recover`. Cancel the call to end its rounds."""
    _check(recover, max_workers, progress)
    interval = _interval(interval_seconds)
    graph = compiled(graph)
    async with aopen_connection(connection) as saver:
        locks = chosen_lock_manager(saver, lock_manager)
        workflow = DurableWorkflow(graph, saver, lock_manager=locks)

        async def make_round() -> list[ResumeResult]:
            found = await afind_failed_workflows(
                saver, min_age_minutes, max_age_hours, graph=graph, lock_manager=locks
            )
            runs = [status for status in found if status.state == "stalled"]
            return await _aresume_all(saver, runs, workflow.aresume, locks, max_workers, progress)

        results = await make_round()
        while interval is not None:
            await asyncio.sleep(interval)
            try:
                results = await make_round()
            except LmdbSaverError:
                _log.exception("a round of recovery failed")
        return results


def _to_resume(
    found: list[CheckpointStatus], limit: int | None, *, has_graph: bool
) -> list[CheckpointStatus]:
    """Return the runs to resume. A run that waits without an interrupt is at a breakpoint."""
    limit = arguments.optional_count(limit, "limit", "runs")
    runs = [
        status
        for status in found
        if not has_graph or status.state != "waiting" or status.interrupts
    ]
    return runs[:limit]


def _resume_all(
    saver: BaseCheckpointSaver[Any],
    runs: list[CheckpointStatus],
    function: ResumeFunction,
    locks: LockManager,
    max_workers: int,
    progress: Progress | None,
) -> list[ResumeResult]:
    results: dict[int, ResumeResult] = {}
    # No more are submitted than run, so that an interrupt leaves none to cancel.
    with ThreadPoolExecutor(max_workers, "langgraph-resume") as pool:
        waiting = list(enumerate(runs))[::-1]
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < max_workers:
                index, status = waiting.pop()
                running[pool.submit(_resume, status, saver, function, locks)] = index
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                index = running.pop(future)
                results[index] = future.result()
                if progress is not None:
                    progress(len(results), len(runs), results[index])
    return [results[index] for index in sorted(results)]


def _resume(
    status: CheckpointStatus,
    saver: BaseCheckpointSaver[Any],
    function: ResumeFunction,
    locks: LockManager,
) -> ResumeResult:
    try:
        return resume_one(
            status.thread_id, saver, function, locks, accept=_is_still_as_found(status)
        )
    except Exception as error:  # noqa: BLE001 - of the saver or a lock; reported
        return failed(status.thread_id, status, None, error)


async def _aresume_all(
    saver: BaseCheckpointSaver[Any],
    runs: list[CheckpointStatus],
    function: ResumeFunction,
    locks: LockManager,
    max_workers: int,
    progress: Progress | None,
) -> list[ResumeResult]:
    free, done = asyncio.Semaphore(max_workers), 0

    async def resume(status: CheckpointStatus) -> ResumeResult:
        nonlocal done
        async with free:
            try:
                result = await aresume_one(
                    status.thread_id, saver, function, locks, accept=_is_still_as_found(status)
                )
            except Exception as error:  # noqa: BLE001 - of the saver or a lock; reported
                result = failed(status.thread_id, status, None, error)
        done += 1
        if progress is not None:
            progress(done, len(runs), result)
        return result

    tasks = [asyncio.ensure_future(resume(status)) for status in runs]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_still_as_found(found: CheckpointStatus) -> Accept:
    """Return a function that tells whether another worker resumed a run since it was found."""

    def accept(now: CheckpointStatus) -> bool:
        is_same = now.checkpoint_id == found.checkpoint_id
        return is_same and now.state in (found.state, "unknown")  # the graph may know the state

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
