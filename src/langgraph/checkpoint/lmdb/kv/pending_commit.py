"""Operations that wait to be committed, and telling their callers what came of them."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from langgraph.checkpoint.lmdb.errors import RetryableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from langgraph.checkpoint.lmdb.kv.base import Writer

T = TypeVar("T")


class Waiting(Generic[T]):
    """An operation in the queue, and whoever waits for it: a thread, or a future of a loop."""

    __slots__ = (
        "abandoned",
        "apply",
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
    ) -> None:
        self.apply = apply
        self.can_wait = can_wait
        self.future = future
        self.wake = threading.Lock()
        self.wake.acquire()
        self.finished = False
        self.abandoned = False
        self.result: Any = None
        self.error: BaseException | None = None

    def notify(self) -> None:
        """Wake the thread."""
        with contextlib.suppress(RuntimeError):  # told before, but interrupted: it has left
            self.wake.release()

    def resolve(self) -> None:
        """Settle the future, in its loop."""
        future = self.future
        if future is None or future.done():
            return
        if self.error is None:
            future.set_result(self.result)
        else:
            future.set_exception(self.error)


def announce(batch: Iterable[Waiting[Any]]) -> None:
    """Tell the callers of these operations that they are done; doing so twice does no harm."""
    by_loop: dict[asyncio.AbstractEventLoop, deque[Waiting[Any]]] = {}
    for waiting in batch:
        waiting.finished = True
        if waiting.future is None:
            waiting.notify()
        else:
            by_loop.setdefault(waiting.future.get_loop(), deque()).append(waiting)
    for loop, group in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, loop, group)


def _resolve(loop: asyncio.AbstractEventLoop, group: deque[Waiting[Any]]) -> None:
    """Settle one future a round of the loop: all at once, their tasks would keep it from others."""
    try:
        group[0].resolve()
        group.popleft()
        if group:
            loop.call_soon(_resolve, loop, group)
    except MemoryError:  # there is no room for another round
        for waiting in group:
            waiting.resolve()


def failure(reason: BaseException) -> RetryableError:
    """Return the error of an operation that was not begun, one for each: they are raised apart."""
    error = RetryableError(
        f"the thread that commits could not go on: {reason!r}", advice="Call again."
    )
    error.__cause__ = reason
    return error
