"""The lifecycle of a saver: opening and closing, for every kind of opener."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from saver_conformance.timeouts import Executors, LoopThread, Worker


class NotASaverError(Exception):
    """A result of an opener that has no `get_tuple`."""


class OpenSaver:
    """An open saver: its context manager is entered at the start and exited by `close`.

    A synchronous manager is entered in the worker thread, an asynchronous one on the event loop,
    by one task that also leaves it (some libraries insist on that).

    Args:
        opener: Function that returns a saver, its context manager, an awaitable or a generator.
        executors: Executors of the calls.

    Raises:
        CallTimeoutError: If opening exceeds the time limit of a call.
        NotASaverError: If the opener returns something that is not a saver.
        Exception: If the opener raises.
    """

    def __init__(self, opener: Callable[[], Any], executors: Executors) -> None:
        self._executors = executors
        self._leave: Callable[[], None] = lambda: None
        # Executor that closes the saver; after a call hung in it, closing is impossible.
        self._on: Worker | LoopThread = executors.worker
        self.on_loop = False
        #: Statement that opens the saver in a program; None if no single statement does.
        self.statement: str | None = "saver = {call}"
        self.saver = self._enter(executors.worker.call(opener, executors.seconds))
        if not hasattr(self.saver, "get_tuple"):
            kind = type(self.saver).__name__
            self.close()
            raise NotASaverError(f"open must return a saver, got {kind}, which has no get_tuple")

    def _enter(self, made: Any) -> Any:
        seconds = self._executors.seconds
        if inspect.isgenerator(made) or inspect.isasyncgen(made):
            self.statement = None
        if inspect.isgenerator(made):
            made = contextmanager(lambda: made)()
        elif inspect.isasyncgen(made):
            made = asynccontextmanager(lambda: made)()
        if hasattr(made, "__enter__"):
            self.statement = self.statement and "with {call} as saver:"
            worker = self._executors.worker
            saver = worker.call(made.__enter__, seconds)
            self._leave = lambda: worker.call(lambda: made.__exit__(None, None, None), seconds)
            return saver
        if hasattr(made, "__aenter__"):
            self.statement = self.statement and "async with {call} as saver:"
            self.on_loop = True
            return self._hold(made)
        if inspect.isawaitable(made):
            self.statement = None
            self.on_loop = True
            return self._enter(self._executors.loop.run(_await(made), seconds))
        if callable(close := getattr(made, "close", None)) and not inspect.iscoroutinefunction(
            close
        ):
            worker = self._executors.worker
            self.statement = self.statement and "with contextlib.closing({call}) as saver:"
            self._leave = lambda: worker.call(close, seconds)
        return made

    def _hold(self, manager: Any) -> Any:
        self._on = loop = self._executors.loop
        seconds = self._executors.seconds
        done = loop.run(_new_event(), seconds)
        entered: asyncio.Future[Any] = loop.run(_new_future(), seconds)

        async def hold() -> None:
            try:
                async with manager as saver:
                    entered.set_result(saver)
                    await done.wait()
            # Before the context is entered, the error belongs to the opener; afterwards to `close`.
            except BaseException as error:
                if entered.done():
                    raise
                entered.set_exception(error)

        holder = loop.run(_start(hold()), seconds)

        async def leave() -> None:
            done.set()
            await holder

        self._leave = lambda: loop.run(leave(), seconds)
        return loop.run(_await(entered), seconds)

    def close(self) -> None:
        """Exit the context of the saver, or close it; further calls have no effect.

        Raises:
            CallTimeoutError: If closing exceeds the time limit of a call.
            Exception: If closing raises.
        """
        leave, self._leave = self._leave, lambda: None
        if not self._on.abandoned:
            leave()


async def _await(awaitable: Any) -> Any:
    return await awaitable


async def _new_event() -> asyncio.Event:
    return asyncio.Event()


async def _new_future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


async def _start(coroutine: Any) -> asyncio.Task[None]:
    return asyncio.ensure_future(coroutine)
