"""A lock that reports an error when its own thread needs it again, as in a signal handler."""

from __future__ import annotations

import _thread

from langgraph.checkpoint.lmdb.errors import UsageError


class Lock(_thread.RLock):  # type: ignore[misc]  # it is final only in its stub
    """A lock for short sections, which a signal handler may interrupt.

    Call `check_free` at the start of an operation, then use `with lock:`. The check is separate,
    because an interrupt can come between two steps of Python code. The methods that take and
    release the lock are not Python code.
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
