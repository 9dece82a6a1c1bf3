"""Calls with a time limit: a thread and an event loop that are abandoned when a saver hangs."""

from __future__ import annotations

import asyncio
import ctypes
import queue
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

T = TypeVar("T")


class CallTimeoutError(Exception):
    """A timeout: a call did not return within its limit."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.seconds = seconds


class ExitedError(Exception):
    """An exception that would end a process or a task, for example `SystemExit`.

    It wraps the original, so that it is not mistaken for a Ctrl-C of the user.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")


class _Abandoned(BaseException):
    """An exception that is raised inside an abandoned thread to end a busy loop."""


class Worker:
    """A daemon thread that runs calls one after another, each with a time limit."""

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
                # A saver may raise anything; the caller gets the exception.
                except Exception as error:  # noqa: BLE001
                    future.set_exception(error)
                except BaseException as error:  # noqa: BLE001
                    future.set_exception(ExitedError(error))
                # An idle thread must not keep the last result alive: an iterator of a saver is
                # closed when its last reference is dropped.
                del item, function, future
        except _Abandoned:
            return

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Add a call to the queue.

        Args:
            function: Function without arguments.

        Returns:
            Future of the result.
        """
        future: Future[T] = Future()
        self._calls.put((function, future))
        return future

    def call(self, function: Callable[[], T], seconds: float) -> T:
        """Run a call in the thread and return its result.

        Args:
            function: Function without arguments.
            seconds: Time limit in seconds.

        Returns:
            Result of the call.

        Raises:
            CallTimeoutError: If the limit expires; the thread is then abandoned.
        """
        return self.wait(self.submit(function), seconds)

    def wait(self, future: Future[T], seconds: float) -> T:
        """Wait for a submitted call.

        Args:
            future: Future from `submit`.
            seconds: Time limit in seconds.

        Returns:
            Result of the call.

        Raises:
            CallTimeoutError: If the limit expires; the thread is then abandoned.
        """
        try:
            return future.result(seconds)
        except FutureTimeout as error:
            if future.done():
                raise
            self.abandon()
            raise CallTimeoutError(seconds) from error

    def abandon(self) -> None:
        """Abandon the thread and interrupt a loop of Python code in it."""
        self.abandoned = True
        if self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(_Abandoned)
            )

    def stop(self) -> None:
        """End the thread after the queued calls."""
        self._calls.put(None)


def call_on_workers(functions: Sequence[Callable[[], Any]], seconds: float) -> list[Any]:
    """Call functions at the same time, each in its own thread.

    Args:
        functions: Functions without arguments.
        seconds: Time limit of each, in seconds.

    Returns:
        Results in the order of the functions.

    Raises:
        CallTimeoutError: If a limit expires.
    """
    workers = [Worker(f"saver-{number}") for number in range(len(functions))]
    try:
        pairs = zip(workers, functions, strict=True)
        futures = [worker.submit(function) for worker, function in pairs]
        return [w.wait(f, seconds) for w, f in zip(workers, futures, strict=True)]
    finally:
        for worker in workers:
            worker.stop()


class LoopThread:
    """An event loop that runs in its own daemon thread."""

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
        """Run a coroutine on the loop and return its result.

        Args:
            coroutine: Coroutine to run.
            seconds: Time limit in seconds.

        Returns:
            Result of the coroutine.

        Raises:
            CallTimeoutError: If the limit expires; a blocked loop is then abandoned.
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
        """Return True if the loop still runs: a hanging call need not block it."""
        answered = threading.Event()
        self.loop.call_soon_threadsafe(answered.set)
        return answered.wait(1)

    def abandon(self) -> None:
        """Abandon the loop and interrupt Python code that blocks it."""
        self.abandoned = True
        if self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(_Abandoned)
            )

    def stop(self) -> None:
        """Stop the loop and wait at most one second for its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(1)


async def _contained(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        return await coroutine
    # asyncio lets these two exceptions end the loop.
    except (KeyboardInterrupt, SystemExit) as error:
        raise ExitedError(error) from error


def described(error: BaseException) -> str:
    """Return the type and the message of an error.

    Args:
        error: Error that a saver raised.

    Returns:
        Text of the form `ValueError: message`.
    """
    if isinstance(error, ExitedError):
        return str(error)
    return f"{type(error).__name__}: {error}"


class Executors:
    """A worker thread and an event loop, replaced after a call hung in one of them.

    Args:
        seconds: Time limit of one call, in seconds.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._worker: Worker | None = None
        self._loop: LoopThread | None = None

    @property
    def worker(self) -> Worker:
        """The worker thread; a new one if the last one was abandoned."""
        if self._worker is None or self._worker.abandoned:
            self._worker = Worker()
        return self._worker

    @property
    def loop(self) -> LoopThread:
        """The event loop; a new one if the last one was abandoned."""
        if self._loop is None or self._loop.abandoned:
            self._loop = LoopThread()
        return self._loop

    def replace_loop(self, loop: LoopThread) -> LoopThread:
        """Run the following calls on another loop.

        Args:
            loop: Loop to use.

        Returns:
            Loop that was used before.
        """
        previous, self._loop = self.loop, loop
        return previous

    def close(self) -> None:
        """End the thread and the loop, unless they were abandoned."""
        if self._worker is not None and not self._worker.abandoned:
            self._worker.stop()
        if self._loop is not None and not self._loop.abandoned:
            self._loop.stop()
