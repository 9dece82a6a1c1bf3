"""Resumption of one run: under its run lock, with a report instead of an error."""

from __future__ import annotations

import inspect
import logging
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import tenacity

from langgraph.checkpoint.lmdb.errors import RetryableError
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.connections import (
    aopen_connection,
    chosen_lock_manager,
    open_connection,
)
from langgraph.checkpoint.lmdb.workflows.errors import AlreadyRunningError, WorkflowError
from langgraph.checkpoint.lmdb.workflows.run_lock import ahold_run, hold_run
from langgraph.checkpoint.lmdb.workflows.status import checkpoint_status, root_config

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

    from langgraph.checkpoint.lmdb.workflows.connections import Connection
    from langgraph.checkpoint.lmdb.workflows.locks import LockManager
    from langgraph.checkpoint.lmdb.workflows.status import CheckpointStatus

    ResumeFunction = Callable[..., Any]
    """A function that resumes a run. It gets the thread id, unless it takes no argument."""
    Accept = Callable[["CheckpointStatus"], bool]

_log = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0


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
) -> ResumeResult:
    """Resume a run under its run lock.

    Args:
        thread_id: The thread.
        connection: Path of a store, or any saver.
        resume_function: Resumes the run, for example with `graph.invoke(None, config)`. It gets the
            thread id, unless it takes no argument. Its exception is logged and returned.
        lock_manager: Holds the run lock. By default, locks in the store's folder; for a saver that
            has no folder, locks for the threads of this process.
        blocking: Wait while another worker runs the thread.
        timeout_seconds: Seconds to wait at most; None waits without limit.

    Returns:
        The report. Its status is "success", "already_running" (also after a wait that timed out),
        "not_found", "already_complete" or "error".

    Raises:
        UsageError: An argument is invalid.
        InvalidPathError: The path holds no store.
        LmdbSaverError: The saver or the lock manager failed.
    """
    _check(thread_id, resume_function, blocking, timeout_seconds)
    with open_connection(connection) as saver:
        locks = chosen_lock_manager(saver, lock_manager)
        return resume_one(thread_id, saver, resume_function, locks, blocking, timeout_seconds)


async def aresume_workflow(
    thread_id: str,
    connection: Connection,
    resume_function: ResumeFunction,
    lock_manager: LockManager | None = None,
    blocking: bool = False,
    timeout_seconds: float | None = None,
) -> ResumeResult:
    """Async version of `resume_workflow`. The function may return an awaitable."""
    _check(thread_id, resume_function, blocking, timeout_seconds)
    async with aopen_connection(connection) as saver:
        locks = chosen_lock_manager(saver, lock_manager)
        return await aresume_one(
            thread_id, saver, resume_function, locks, blocking, timeout_seconds
        )


def resume_with_retry(
    thread_id: str,
    connection: Connection,
    resume_function: ResumeFunction,
    lock_manager: LockManager | None = None,
    blocking: bool = False,
    timeout_seconds: float | None = None,
    max_retries: int = 3,
    *,
    is_transient: Callable[[BaseException], bool] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> ResumeResult:
    """Resume a run, and try again after transient errors.

    The pauses grow exponentially from 0.5 s to 30 s, with jitter.

    Args:
        thread_id: As for `resume_workflow`.
        connection: As for `resume_workflow`.
        resume_function: As for `resume_workflow`.
        lock_manager: As for `resume_workflow`.
        blocking: As for `resume_workflow`.
        timeout_seconds: As for `resume_workflow`, for each attempt.
        max_retries: Attempts after the first one.
        is_transient: Returns True for an error that may pass. By default: errors of connections
            and time limits, and errors of the package and of databases that are retryable.
        sleep: Waits for a number of seconds.

    Returns:
        The report of the last attempt.

    Raises:
        UsageError: An argument is invalid.
        LmdbSaverError: The saver or the lock manager failed.
    """
    retrying = tenacity.Retrying(sleep=sleep, **_policy(max_retries, is_transient))
    result: ResumeResult = retrying(
        resume_workflow,
        thread_id,
        connection,
        resume_function,
        lock_manager,
        blocking,
        timeout_seconds,
    )
    return result


async def aresume_with_retry(
    thread_id: str,
    connection: Connection,
    resume_function: ResumeFunction,
    lock_manager: LockManager | None = None,
    blocking: bool = False,
    timeout_seconds: float | None = None,
    max_retries: int = 3,
    *,
    is_transient: Callable[[BaseException], bool] | None = None,
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> ResumeResult:
    """Async version of `resume_with_retry`."""
    policy = _policy(max_retries, is_transient)
    if sleep is not None:
        policy["sleep"] = sleep
    retrying = tenacity.AsyncRetrying(**policy)
    result: ResumeResult = await retrying(
        aresume_workflow,
        thread_id,
        connection,
        resume_function,
        lock_manager,
        blocking,
        timeout_seconds,
    )
    return result


def resume_one(
    thread_id: str,
    saver: BaseCheckpointSaver[Any],
    resume_function: ResumeFunction,
    locks: LockManager,
    blocking: bool = False,
    timeout_seconds: float | None = None,
    accept: Accept | None = None,
) -> ResumeResult:
    """Resume a run whose state under the lock `accept` returns True for."""
    if _status(thread_id, saver) is None:
        return _report(thread_id, "not_found")
    try:
        with hold_run(locks, thread_id, blocking, timeout_seconds) as lock:
            before = _status(thread_id, saver)
            refusal = _refusal(thread_id, before, accept)
            if refusal is not None:
                return refusal
            try:
                result = _call(resume_function, thread_id)
                lock.check()
            except Exception as error:  # noqa: BLE001 - reported
                return failed(thread_id, before, _status(thread_id, saver), error)
            return _success(thread_id, before, _status(thread_id, saver), result)
    except AlreadyRunningError:
        return _report(thread_id, "already_running", after=_status(thread_id, saver))


async def aresume_one(
    thread_id: str,
    saver: BaseCheckpointSaver[Any],
    resume_function: ResumeFunction,
    locks: LockManager,
    blocking: bool = False,
    timeout_seconds: float | None = None,
    accept: Accept | None = None,
) -> ResumeResult:
    """Async version of `resume_one`."""
    if await _astatus(thread_id, saver) is None:
        return _report(thread_id, "not_found")
    try:
        async with ahold_run(locks, thread_id, blocking, timeout_seconds) as lock:
            before = await _astatus(thread_id, saver)
            refusal = _refusal(thread_id, before, accept)
            if refusal is not None:
                return refusal
            try:
                result = _call(resume_function, thread_id)
                if inspect.isawaitable(result):
                    result = await result
                lock.check()
            except Exception as error:  # noqa: BLE001 - reported
                return failed(thread_id, before, await _astatus(thread_id, saver), error)
            return _success(thread_id, before, await _astatus(thread_id, saver), result)
    except AlreadyRunningError:
        return _report(thread_id, "already_running", after=await _astatus(thread_id, saver))


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


def transient(error: BaseException) -> bool:
    """Return True for an error that may pass by itself."""
    if isinstance(error, WorkflowError) and error.original_error is not None:
        return transient(error.original_error)
    kinds: tuple[type[BaseException], ...] = (
        RetryableError,
        ConnectionError,
        TimeoutError,
        sqlite3.OperationalError,
    )
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None:
        kinds += (psycopg.OperationalError,)
    # asyncio.TimeoutError before Python 3.11, and the errors of HTTP clients, only share names.
    name = type(error).__name__
    return isinstance(error, kinds) or name.endswith(("TimeoutError", "ConnectionError"))


def _policy(
    max_retries: int, is_transient: Callable[[BaseException], bool] | None
) -> dict[str, Any]:
    if is_transient is not None:
        arguments.function(is_transient, "is_transient")
    passes = is_transient or transient

    def again(result: ResumeResult) -> bool:
        return result["error"] is not None and passes(result["error"])

    return {
        "retry": tenacity.retry_if_result(again),
        "stop": tenacity.stop_after_attempt(
            arguments.count(max_retries, "max_retries", "retries") + 1
        ),
        "wait": tenacity.wait_exponential(_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS)
        + tenacity.wait_random(0, _FIRST_DELAY_SECONDS),
        "retry_error_callback": _last_result,
    }


def _last_result(state: tenacity.RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()


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


def _status(thread_id: str, saver: BaseCheckpointSaver[Any]) -> CheckpointStatus | None:
    return _status_of(saver.get_tuple(root_config(thread_id)))


async def _astatus(thread_id: str, saver: BaseCheckpointSaver[Any]) -> CheckpointStatus | None:
    return _status_of(await saver.aget_tuple(root_config(thread_id)))


def _status_of(found: CheckpointTuple | None) -> CheckpointStatus | None:
    return None if found is None else checkpoint_status(found)


def _refusal(
    thread_id: str, before: CheckpointStatus | None, accept: Accept | None
) -> ResumeResult | None:
    """Return the report of a run that is not to be resumed, now that its lock is held."""
    if before is None:
        return _report(thread_id, "not_found")
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
