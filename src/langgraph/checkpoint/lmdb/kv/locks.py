"""Locks that the thread which holds one may meet again: in a signal handler, or in a finalizer."""

from __future__ import annotations

import _thread

from langgraph.checkpoint.lmdb.errors import UsageError


class Lock(_thread.RLock):  # type: ignore[misc]  # it is final only in its stub
    """A lock for short sections, of which a signal handler may interrupt any.

    Call `check_free` where an operation begins, then use `with lock:`. The check is not a part of
    the `with` statement because an interrupt can come between two steps of Python code: the
    methods that take and release the lock are the interpreter's own.
    """

    __slots__ = ()

    def check_free(self) -> None:
        """Raise UsageError if this thread holds the lock."""
        if self.is_held():
            raise in_use()

    def is_held(self) -> bool:
        """Return whether this thread holds the lock."""
        held: bool = self._is_owned()  # type: ignore[attr-defined]
        return held


def in_use() -> UsageError:
    """Return the error for a call that interrupts another call of the same thread."""
    return UsageError(
        "the store is in use by the code that this signal handler or finalizer interrupted",
        advice="Set a flag in the handler, and use the store after the handler has returned.",
    )
