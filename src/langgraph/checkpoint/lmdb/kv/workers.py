"""Start of threads, which a limit on processes or memory may refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from typing import ParamSpec, TypeVar, cast

from langgraph.checkpoint.lmdb.errors import RetryableError

P = ParamSpec("P")
T = TypeVar("T")


def start(thread: Thread) -> None:
    """Start a thread.

    Raises:
        RetryableError: The system or the interpreter refuses another thread.
    """
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise refused(error) from error


async def call(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Call a function in a thread of the event loop's executor, as `asyncio.to_thread` does.

    Raises:
        RetryableError: No thread could be started. The function is not called later either.
    """
    context = copy_context()
    abandoned = False

    def run() -> T | None:
        return None if abandoned else context.run(function, *arguments, **options)

    try:
        called = asyncio.get_running_loop().run_in_executor(None, run)
    except (RuntimeError, MemoryError) as error:
        abandoned = True  # the executor keeps it in its queue
        raise refused(error) from error
    return cast("T", await called)


def refused(error: BaseException) -> RetryableError:
    """Return the error for a thread that could not be started."""
    return RetryableError(
        f"a thread could not be started: {error}",
        advice="Raise the limit on processes or memory (ulimit -u, pids.max), then call again.",
    )
