"""Resumption of one run that is repeated after transient errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import tenacity

from langgraph.checkpoint.lmdb.errors import RetryableError
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.connections import Connection
from langgraph.checkpoint.lmdb.workflows.database_errors import is_unavailable
from langgraph.checkpoint.lmdb.workflows.errors import WorkflowError
from langgraph.checkpoint.lmdb.workflows.locks import LockManager
from langgraph.checkpoint.lmdb.workflows.resuming import (
    ResumeFunction,
    ResumeResult,
    aresume_workflow,
    resume_workflow,
)

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0


def resume_with_retry(
    thread_id: str,
    connection: Connection,
    resume_function: ResumeFunction,
    lock_manager: LockManager | None = None,
    blocking: bool = False,
    timeout_seconds: float | None = None,
    max_retries: int = 3,
    *,
    graph: Any = None,
    is_transient: Callable[[BaseException], bool] | None = None,
    sleep: Callable[[float], None] | None = None,
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
        graph: As for `resume_workflow`.
        is_transient: Returns True for an error that may pass. By default: errors of connections
            and time limits, and errors of the package and of databases that are retryable.
        sleep: Waits for a number of seconds; by default as `time.sleep`.

    Returns:
        The report of the last attempt.

    Raises:
        UsageError: An argument is invalid.
        LmdbSaverError: The saver or the lock manager failed.
    """
    retrying = tenacity.Retrying(**_policy(max_retries, is_transient, sleep))
    result: ResumeResult = retrying(
        resume_workflow,
        thread_id,
        connection,
        resume_function,
        lock_manager,
        blocking,
        timeout_seconds,
        graph=graph,
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
    graph: Any = None,
    is_transient: Callable[[BaseException], bool] | None = None,
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> ResumeResult:
    """Async version of `resume_with_retry`."""
    retrying = tenacity.AsyncRetrying(**_policy(max_retries, is_transient, sleep))
    result: ResumeResult = await retrying(
        aresume_workflow,
        thread_id,
        connection,
        resume_function,
        lock_manager,
        blocking,
        timeout_seconds,
        graph=graph,
    )
    return result


def _policy(
    max_retries: int,
    is_transient: Callable[[BaseException], bool] | None,
    sleep: Callable[[float], object] | None,
) -> dict[str, Any]:
    if is_transient is not None:
        arguments.function(is_transient, "is_transient")
    passes = is_transient or transient

    def again(result: ResumeResult) -> bool:
        return result["error"] is not None and passes(result["error"])

    return {
        **({} if sleep is None else {"sleep": sleep}),
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


def transient(error: BaseException) -> bool:
    """Return True for an error that may pass by itself."""
    if isinstance(error, WorkflowError) and error.original_error is not None:
        return transient(error.original_error)
    if isinstance(error, (RetryableError, ConnectionError, TimeoutError)) or is_unavailable(error):
        return True
    # asyncio.TimeoutError before Python 3.11, and the errors of HTTP clients, only share names.
    return type(error).__name__.endswith(("TimeoutError", "ConnectionError"))
