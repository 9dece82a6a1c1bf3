"""Operations that wait to be committed, and the notification of their callers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from langgraph.checkpoint.lmdb.errors import RetryableError
from langgraph.checkpoint.lmdb.kv.base import Writer

T = TypeVar("T")


class PendingCommit(Generic[T]):
    """An operation in the queue, and its caller: a thread, or a future of an event loop."""

    __slots__ = (
        "abandoned",
        "apply",
        "before",
        "can_wait",
        "error",
        "finished",
        "future",
        "result",
        "wake",
    )

    def __init__(
        self,
        apply: Callable[[Writer], T],
        can_wait: bool,
        future: asyncio.Future[T] | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        self.apply = apply
        self.before = before
        self.can_wait = can_wait
        self.future = future
        self.wake = threading.Lock()
        self.wake.acquire()
        self.finished = False
        self.abandoned = False
        self.result: Any = None
        self.error: BaseException | None = None

    def begin(self, errors: type[BaseException]) -> None:
        """Do the work before the transaction; one of these errors fails the operation."""
        self.error = None  # another leader may have begun, and was interrupted
        if self.before is not None:
            try:
                self.before()
            except errors as error:
                self.error = error

    def notify(self) -> None:
        """Wake the thread."""
        with contextlib.suppress(RuntimeError):  # it was woken before and has left
            self.wake.release()

    def resolve(self) -> None:
        """Set the result or the error of the future, in its loop."""
        future = self.future
        if future is None or future.done():
            return
        if self.error is None:
            future.set_result(self.result)
        else:
            future.set_exception(self.error)


def notify_callers(batch: Iterable[PendingCommit[Any]]) -> None:
    """Wake the callers of finished operations. A second call has no effect."""
    by_loop: dict[asyncio.AbstractEventLoop, deque[PendingCommit[Any]]] = {}
    for waiting in batch:
        waiting.finished = True
        if waiting.future is None:
            waiting.notify()
        else:
            by_loop.setdefault(waiting.future.get_loop(), deque()).append(waiting)
    for loop, group in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(_resolve, loop, group)


def _resolve(loop: asyncio.AbstractEventLoop, group: deque[PendingCommit[Any]]) -> None:
    """Resolve one future in each round of the loop, so that other tasks run in between."""
    try:
        group[0].resolve()
        group.popleft()
        if group:
            loop.call_soon(_resolve, loop, group)
    except MemoryError:  # no memory for another round
        for waiting in group:
            waiting.resolve()


def failure(reason: BaseException) -> RetryableError:
    """Return the error of an operation that was not begun. Each operation gets its own object."""
    error = RetryableError(f"the committing thread failed: {reason!r}", advice="Call again.")
    error.__cause__ = reason
    return error
