"""Errors of workflows: the same tree as the errors of the saver, with kinds of their own."""

from __future__ import annotations

import pickle
from typing import Any

from langgraph.checkpoint.lmdb.errors import LmdbSaverError, RetryableError

__all__ = [
    "AlreadyRunningError",
    "LockHeldError",
    "LockLostError",
    "WorkflowError",
]


class LockHeldError(RetryableError):
    """A named lock that another holder has."""

    kind = "lock_held"
    default_advice = "Call again later, or wait for it with blocking=True."


class LockLostError(RetryableError):
    """A named lock that this process held, and that another process may hold now."""

    kind = "lock_lost"
    default_advice = "Stop the work that the lock protected, and acquire the lock again."


class AlreadyRunningError(RetryableError):
    """A workflow that another thread or process runs."""

    kind = "already_running"
    default_advice = "Wait until it ends. get_checkpoint_status(thread_id, saver) tells its state."


class WorkflowError(LmdbSaverError):
    """A run that failed: its graph raised an error.

    Args:
        thread_id: The thread of the run.
        state: The CheckpointStatus at the failure; None if it could not be read.
        original_error: What the graph raised.
    """

    kind = "workflow"
    default_advice = "Fix the cause, then resume the run."

    def __init__(
        self,
        thread_id: str = "",
        state: Any = None,
        original_error: BaseException | None = None,
        *,
        advice: str | None = None,
    ) -> None:
        cause = f"{type(original_error).__name__}: {original_error}"
        super().__init__(f"the workflow failed: {cause}", thread_id=thread_id, advice=advice)
        self.state = state
        self.original_error = original_error

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.thread_id, self.state, self.original_error)
        return type(self), tuple(map(_picklable, parts)), {"advice": self.advice}


def _picklable(part: Any) -> Any:
    """Return a part of an error; what cannot be pickled becomes an error with its text."""
    try:
        pickle.loads(pickle.dumps(part))  # noqa: S301 - made here
    except Exception as error:  # noqa: BLE001 - whatever it raises, the part cannot be pickled
        if not isinstance(part, BaseException):
            return None
        return LmdbSaverError(f"{type(part).__name__}: {part}", advice=f"Not pickled: {error}.")
    return part
