"""Calls end within their time limit and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from saver_conformance.timeouts import CallTimeoutError, ExitedError, LoopThread, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.stop()


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.stop()


class _Result:
    pass


def test_worker_returns_and_raises(worker: Worker) -> None:
    assert worker.call(lambda: 7, 5) == 7
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 // 0, 5)
    with pytest.raises(TimeoutError):
        worker.call(_raise_timeout, 5)
    assert not worker.abandoned


def _raise_timeout() -> None:
    raise TimeoutError("raised by the saver")


def test_worker_does_not_keep_a_result_alive(worker: Worker) -> None:
    result = worker.call(_Result, 5)
    seen = weakref.ref(result)
    del result
    # The worker drops its reference shortly after it returns the result.
    for _ in range(1000):
        gc.collect()
        if seen() is None:
            return
    pytest.fail("the worker keeps the result")


def test_hanging_worker_is_abandoned_and_a_busy_one_interrupted() -> None:
    blocked, busy = Worker(), Worker()
    ended = threading.Event()

    def spin() -> None:
        try:
            while True:
                pass
        finally:
            ended.set()

    for worker, function in ((blocked, threading.Event().wait), (busy, spin)):
        with pytest.raises(CallTimeoutError):
            worker.call(function, 0.1)
        assert worker.abandoned
    assert ended.wait(30)


def test_exception_that_ends_a_process_is_an_error(worker: Worker, loop: LoopThread) -> None:
    async def end() -> None:
        raise SystemExit(3)

    with pytest.raises(ExitedError, match="SystemExit: 3"):
        worker.call(lambda: sys.exit(3), 5)
    with pytest.raises(ExitedError, match="SystemExit: 3"):
        loop.run(end(), 5)
    assert worker.call(lambda: 7, 5) == 7
    assert loop.run(asyncio.sleep(0, 7), 5) == 7


def test_loop_survives_a_hanging_task(loop: LoopThread) -> None:
    with pytest.raises(CallTimeoutError):
        loop.run(asyncio.Event().wait(), 0.1)
    assert not loop.abandoned
    assert loop.run(asyncio.sleep(0, "answer"), 5) == "answer"


def test_blocked_loop_is_abandoned() -> None:
    loop = LoopThread()

    async def block() -> None:
        while True:
            pass

    with pytest.raises(CallTimeoutError):
        loop.run(block(), 0.1)
    assert loop.abandoned
