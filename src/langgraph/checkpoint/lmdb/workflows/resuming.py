"""Resumption of one run: under its run lock, with a report instead of an error."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.connections import (
    Connection,
    achosen_lock_manager,
    aopen_connection,
    chosen_lock_manager,
    open_connection,
)
from langgraph.checkpoint.lmdb.workflows.errors import AlreadyRunningError
from langgraph.checkpoint.lmdb.workflows.graphs import compiled
from langgraph.checkpoint.lmdb.workflows.locks import LockManager
from langgraph.checkpoint.lmdb.workflows.run_lock import ahold_run, hold_run
from langgraph.checkpoint.lmdb.workflows.status import CheckpointStatus, aread_status, read_status

if TYPE_CHECKING:
    from langgraph.pregel import Pregel

ResumeFunction = Callable[..., Any]
"""A function that resumes a run. It gets the thread id, unless it takes no argument."""
Accept = Callable[["CheckpointStatus"], bool]

_log = logging.getLogger(__name__)


class ResumeResult(TypedDict):
    """A report of the resumption of one run."""

    status: Literal["success", "already_running", "not_found", "already_complete", "error"]
    thread_id: str
    result: Any
    """What the function returned."""
    before_checkpoint: str | None
    """Id of the latest checkpoint before the resumption."""
    after_checkpoint: str | None
    """Id of the latest checkpoint after the resumption."""
    completed: bool
    """True if the run is complete now."""
    error: Exception | None
    """What the function raised."""


def resume_workflow(
    thread_id: str,
    connection: Connection,
    resume_function: ResumeFunction,
    lock_manager: LockManager | None = None,
    blocking: bool = False,
    timeout_seconds: float | None = None,
    *,
    graph: Any = None,
) -> ResumeResult:
    """Resume a run under its run lock.

    Args:
        thread_id: The thread.
        connection: Path or connection string of a store, or any saver.
        resume_function: Resumes the run, for example with `graph.invoke(None, config)`. It gets the
            thread id, unless it takes no argument. Its exception is logged and returned.
        lock_manager: Holds the run lock. By default, locks in the store's folder; for a saver that
            has no folder, locks for the threads of this process.
        blocking: Wait while another worker runs the thread.
        timeout_seconds: Seconds to wait at most; None waits without limit.
        graph: The graph of the run. A run whose state is `unknown` needs it.

    Returns:
        The report. Its status is "success", "already_running" (also after a wait that timed out),
        "not_found", "already_complete" or "error".

    Raises:
        UsageError: An argument is invalid, or the state of the run is `unknown` without `graph`.
        InvalidPathError: There is no store.
        LmdbSaverError: The saver or the lock manager failed.
    """
    _check(thread_id, resume_function, blocking, timeout_seconds)
    graph = None if graph is None else compiled(graph)
    with open_connection(connection) as saver:
        locks = chosen_lock_manager(saver, lock_manager)
        return resume_one(
            thread_id, saver, resume_function, locks, blocking, timeout_seconds, graph=graph
        )


async def aresume_workflow(
    thread_id: str,
    connection: Connection,
    resume_function: ResumeFunction,
    lock_manager: LockManager | None = None,
    blocking: bool = False,
    timeout_seconds: float | None = None,
    *,
    graph: Any = None,
) -> ResumeResult:
    """Async version of `resume_workflow`. The function may return an awaitable."""
    _check(thread_id, resume_function, blocking, timeout_seconds)
    graph = None if graph is None else compiled(graph)
    async with aopen_connection(connection) as saver:
        locks = await achosen_lock_manager(saver, lock_manager)
        return await aresume_one(
            thread_id, saver, resume_function, locks, blocking, timeout_seconds, graph=graph
        )


def resume_one(
    thread_id: str,
    saver: BaseCheckpointSaver[Any],
    resume_function: ResumeFunction,
    locks: LockManager,
    blocking: bool = False,
    timeout_seconds: float | None = None,
    *,
    graph: Pregel[Any, Any, Any, Any] | None = None,
    accept: Accept | None = None,
) -> ResumeResult:
    """Resume a run whose state under the lock `accept` returns True for."""
    if read_status(thread_id, saver) is None:
        return _report(thread_id, "not_found")
    try:
        with hold_run(locks, thread_id, blocking, timeout_seconds) as lock:
            before = read_status(thread_id, saver, graph)
            refusal = _refusal(thread_id, before, accept)
            if refusal is not None:
                return refusal
            try:
                result = _call(resume_function, thread_id)
                lock.check()
            except Exception as error:  # noqa: BLE001 - reported
                return failed(thread_id, before, read_status(thread_id, saver, graph), error)
            return _success(thread_id, before, read_status(thread_id, saver, graph), result)
    except AlreadyRunningError:
        return _report(thread_id, "already_running", after=read_status(thread_id, saver, graph))


async def aresume_one(
    thread_id: str,
    saver: BaseCheckpointSaver[Any],
    resume_function: ResumeFunction,
    locks: LockManager,
    blocking: bool = False,
    timeout_seconds: float | None = None,
    *,
    graph: Pregel[Any, Any, Any, Any] | None = None,
    accept: Accept | None = None,
) -> ResumeResult:
    """Async version of `resume_one`."""
    if await aread_status(thread_id, saver) is None:
        return _report(thread_id, "not_found")
    try:
        async with ahold_run(locks, thread_id, blocking, timeout_seconds) as lock:
            before = await aread_status(thread_id, saver, graph)
            refusal = _refusal(thread_id, before, accept)
            if refusal is not None:
                return refusal
            try:
                result = _call(resume_function, thread_id)
                if inspect.isawaitable(result):
                    result = await result
                lock.check()
            except Exception as error:  # noqa: BLE001 - reported
                after = await aread_status(thread_id, saver, graph)
                return failed(thread_id, before, after, error)
            after = await aread_status(thread_id, saver, graph)
            return _success(thread_id, before, after, result)
    except AlreadyRunningError:
        after = await aread_status(thread_id, saver, graph)
        return _report(thread_id, "already_running", after=after)


def failed(
    thread_id: str,
    before: CheckpointStatus | None,
    after: CheckpointStatus | None,
    error: Exception,
) -> ResumeResult:
    """Return the report of a run whose resumption raised an error, and log the error."""
    _log.error("resumption of thread %r failed", thread_id, exc_info=error)
    report = _report(thread_id, "error", before, after)
    report["error"] = error
    return report


def _check(thread_id: str, function: object, blocking: bool, timeout: float | None) -> None:
    arguments.text(thread_id, "thread_id")
    arguments.function(function, "resume_function")
    arguments.flag(blocking, "blocking")
    if timeout is not None:
        arguments.number(timeout, "timeout_seconds", "seconds")


def _call(function: ResumeFunction, thread_id: str) -> Any:
    try:
        inspect.signature(function).bind(thread_id)
    except TypeError:
        return function()
    except ValueError:  # a function of C code without a signature
        pass
    return function(thread_id)


def _refusal(
    thread_id: str, before: CheckpointStatus | None, accept: Accept | None
) -> ResumeResult | None:
    """Return the report of a run that is not to be resumed, now that its lock is held."""
    if before is None:
        return _report(thread_id, "not_found")
    if before.state == "unknown":
        raise UsageError(
            "the state of the run is unknown",
            advice="Pass the graph of the run as graph=.",
            thread_id=thread_id,
        )
    if before.is_complete:
        return _report(thread_id, "already_complete", before, before)
    if accept is not None and not accept(before):  # another worker was faster
        return _report(thread_id, "already_running", before, before)
    return None


def _success(
    thread_id: str, before: CheckpointStatus | None, after: CheckpointStatus | None, result: Any
) -> ResumeResult:
    report = _report(thread_id, "success", before, after)
    report["result"] = result
    return report


def _report(
    thread_id: str,
    status: Literal["success", "already_running", "not_found", "already_complete", "error"],
    before: CheckpointStatus | None = None,
    after: CheckpointStatus | None = None,
) -> ResumeResult:
    return ResumeResult(
        status=status,
        thread_id=thread_id,
        result=None,
        before_checkpoint=None if before is None else before.checkpoint_id,
        after_checkpoint=None if after is None else after.checkpoint_id,
        completed=after is not None and after.is_complete,
        error=None,
    )
