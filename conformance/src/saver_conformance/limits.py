"""Calls that end: a thread and an event loop that can be given up when a saver hangs."""

from __future__ import annotations

import asyncio
import ctypes
import queue
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class CallTimeoutError(Exception):
    """A call did not return within its limit."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.seconds = seconds


class ExitedError(Exception):
    """A saver raised what ends a process or a task, such as `SystemExit`.

    Made an ordinary error, it cannot be taken for the user's own Ctrl-C.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")


class _Abandoned(BaseException):
    """Raised inside a thread that nobody waits for, so that a busy loop in it ends."""


class Worker:
    """A daemon thread that runs one call after another, each within a limit."""

    def __init__(self, name: str = "saver") -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]
        self._calls = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()
        self.abandoned = False

    def _serve(self) -> None:
        try:
            while (item := self._calls.get()) is not None:
                function, future = item
                try:
                    future.set_result(function())
                except _Abandoned:
                    raise
                # A saver may raise anything; whoever waits for the call gets it.
                except Exception as error:  # noqa: BLE001
                    future.set_exception(error)
                except BaseException as error:  # noqa: BLE001
                    future.set_exception(ExitedError(error))
                # While the thread waits for the next call it must not keep the last one's result
                # alive: a saver's iterator ends when nobody has it any more.
                del item, function, future
        except _Abandoned:
            return

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Queue a call.

        Args:
            function: What to call, without arguments.

        Returns:
            The future of its result.
        """
        future: Future[T] = Future()
        self._calls.put((function, future))
        return future

    def call(self, function: Callable[[], T], seconds: float) -> T:
        """Run a call in the thread.

        Args:
            function: What to call, without arguments.
            seconds: The limit.

        Returns:
            Its result.

        Raises:
            CallTimeoutError: If the limit passes; the thread is then given up.
        """
        return self.wait(self.submit(function), seconds)

    def wait(self, future: Future[T], seconds: float) -> T:
        """Wait for a call that was submitted.

        Args:
            future: What `submit` returned.
            seconds: The limit.

        Returns:
            The call's result.

        Raises:
            CallTimeoutError: If the limit passes; the thread is then given up.
        """
        try:
            return future.result(seconds)
        except FutureTimeout as error:
            if future.done():
                raise
            self.abandon()
            raise CallTimeoutError(seconds) from error

    def abandon(self) -> None:
        """Give the thread up; a loop of Python code in it is interrupted."""
        self.abandoned = True
        if self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(_Abandoned)
            )

    def stop(self) -> None:
        """Let the thread end after what was queued."""
        self._calls.put(None)


class LoopThread:
    """An event loop that runs in a daemon thread of its own."""

    def __init__(self, name: str = "saver-loop") -> None:
        self.loop = asyncio.new_event_loop()
        self.abandoned = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        except _Abandoned:
            return
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run a coroutine on the loop.

        Args:
            coroutine: The coroutine.
            seconds: The limit.

        Returns:
            Its result.

        Raises:
            CallTimeoutError: If the limit passes; the loop is then given up.
        """
        future = asyncio.run_coroutine_threadsafe(_contained(coroutine), self.loop)
        try:
            return future.result(seconds)
        except FutureTimeout as error:
            if future.done() and not future.cancelled():
                raise
            future.cancel()
            if not self._answers():
                self.abandon()
            raise CallTimeoutError(seconds) from error

    def _answers(self) -> bool:
        """Whether the loop still runs: a call that hangs need not have blocked it."""
        answered = threading.Event()
        self.loop.call_soon_threadsafe(answered.set)
        return answered.wait(1)

    def abandon(self) -> None:
        """Give the loop up; a loop of Python code that blocks it is interrupted."""
        self.abandoned = True
        if self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(_Abandoned)
            )

    def stop(self) -> None:
        """End the loop and wait for its thread, at most one second."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(1)


async def _contained(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        return await coroutine
    # asyncio lets these two end the loop.
    except (KeyboardInterrupt, SystemExit) as error:
        raise ExitedError(error) from error


def described(error: BaseException) -> str:
    """Return an error's type and message.

    Args:
        error: What a saver raised.

    Returns:
        Both, on one line if the message is one.
    """
    if isinstance(error, ExitedError):
        return str(error)
    return f"{type(error).__name__}: {error}"


class Lanes:
    """The thread and the loop that a run uses, replaced when a call hung in one of them.

    Args:
        seconds: The limit of one call.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._worker: Worker | None = None
        self._loop: LoopThread | None = None

    @property
    def worker(self) -> Worker:
        """A thread that answers."""
        if self._worker is None or self._worker.abandoned:
            self._worker = Worker()
        return self._worker

    @property
    def loop(self) -> LoopThread:
        """An event loop that answers."""
        if self._loop is None or self._loop.abandoned:
            self._loop = LoopThread()
        return self._loop

    def replace_loop(self, loop: LoopThread) -> LoopThread:
        """Let the following calls run on another loop.

        Args:
            loop: The other loop.

        Returns:
            The loop that was used until now.
        """
        previous, self._loop = self.loop, loop
        return previous

    def close(self) -> None:
        """End both, as far as they still answer."""
        if self._worker is not None and not self._worker.abandoned:
            self._worker.stop()
        if self._loop is not None and not self._loop.abandoned:
            self._loop.stop()
