"""Starting threads, which a limit on processes or memory may refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.errors import RetryableError

if TYPE_CHECKING:
    from threading import Thread


def start(thread: Thread) -> None:
    """Start a thread.

    Raises:
        RetryableError: The system or the interpreter refuses another thread.
    """
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise refused(error) from error


def refused(error: BaseException) -> RetryableError:
    """Return the error for a thread that could not be started."""
    return RetryableError(
        f"a thread could not be started: {error}",
        advice="Raise the limit on processes or memory (ulimit -u, pids.max), then call again.",
    )
