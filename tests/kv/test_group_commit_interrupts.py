"""No caller waits forever after an interrupt at any step of the group commit, in any role."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.errors import LmdbSaverError, RetryableError
from langgraph.checkpoint.lmdb.kv import group_commit, pending_commit
from langgraph.checkpoint.lmdb.kv.group_commit import GroupCommit
from tests.kv.crowd import CountingStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from langgraph.checkpoint.lmdb.kv.base import Writer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

_MODULES = (group_commit.__file__, pending_commit.__file__)

PATIENCE = 20
"""Seconds after which a caller is considered to wait forever."""


class Injector:
    """A profiler that raises an error once, at the n-th step at which Python can be interrupted.

    Only steps of the two modules count. Signal handlers run when a function begins and when a
    call of C code has ended.
    """

    def __init__(self, step: int, error: type[BaseException]) -> None:
        self.left = step
        self.error = error
        self.armed = True
        self.fired = False

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if self.fired or not self.armed or event not in ("call", "c_return"):
            return
        # Closing a generator calls it too, and its errors are not raised. An event loop drops a
        # callback whose first step fails, and a thread whose first step fails never ran.
        name = frame.f_code.co_name
        if frame.f_code.co_filename not in _MODULES or name == "<genexpr>":
            return
        if self.error is MemoryError and event == "call" and name in ("_resolve", "_serve"):
            return
        self.left -= 1
        if self.left < 0:
            self.fired = True
            raise self.error

    def watch(self, body: Callable[[], object]) -> None:
        """Run a body in this thread with the error injected."""
        sys.setprofile(self)
        try:
            body()
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)


def storing(key: bytes) -> Callable[[Writer], bytes]:
    """Return an operation that may be repeated, as an interrupted operation is."""

    def apply(writer: Writer) -> bytes:
        writer.put(key, b"1")
        return key

    return apply


class Callers:
    """Other callers, threads and coroutines, which queue during the first transaction."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor) -> None:
        self.loop, self.pool = loop, pool
        self.may_begin = threading.Event()
        self.may_begin.set()
        self.commit = GroupCommit(MeetingStore(self))
        self.beginning = threading.Lock()
        self.calls: dict[bytes, Future[bytes]] = {}

    def wait_for_callers(self) -> None:
        """Wait in the first transaction until the other callers are in the queue."""
        self.may_begin.wait()
        before = len(self.commit._queue)
        if self.begin():
            while len(self.commit._queue) < before + 3:
                pass

    def begin(self) -> bool:
        """Begin all calls, unless they have begun; return True if this call began them."""
        run, run_async = self.commit.run, self.commit.run_async
        with self.beginning:
            if self.calls:
                return False
            self.calls[b"a"] = self.pool.submit(run, storing(b"a"))
            coroutine = run_async(storing(b"b"))
            self.calls[b"b"] = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
            self.calls[b"c"] = self.pool.submit(run, storing(b"c"), can_wait=True)
            return True

    def end(self, injector: Injector) -> None:
        """Check that each call, and each later call, is committed or raises an error."""
        self.begin()
        for key, call in self.calls.items():
            with suppress(RetryableError):
                assert call.result(PATIENCE) == key
        later = self.pool.submit(self.commit.run, storing(b"d"))
        assert later.result(PATIENCE) == b"d"
        for _ in range(2):  # the error may end one call, and the next while the thread reports it
            with suppress(RetryableError):
                self.call_later()
        injector.armed = False
        assert self.call_later() == b"e"
        self.commit.close()

    def call_later(self) -> bytes:
        coroutine = self.commit.run_async(storing(b"e"))
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)


class MeetingStore(CountingStore):
    """A store whose first write transaction lasts until other callers are in the queue."""

    __slots__ = ("callers",)

    def __init__(self, callers: Callers) -> None:
        super().__init__()
        self.callers = callers

    def write(self, apply: Callable[[Writer], Any]) -> Any:
        self.callers.wait_for_callers()
        return super().write(apply)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def leading(callers: Callers) -> None:
    callers.commit.run(storing(b"own"))


def leading_with_delay(callers: Callers) -> None:
    callers.commit.run(storing(b"own"), can_wait=True)


def following(callers: Callers) -> None:
    """Call while another thread runs the first transaction."""
    callers.may_begin.clear()
    callers.pool.submit(callers.commit.run, storing(b"first"))
    while callers.commit._leader is None:
        pass

    def open_when_queued() -> None:
        while len(callers.commit._queue) < 2 and not callers.may_begin.is_set():
            pass
        callers.may_begin.set()

    opening = callers.pool.submit(open_when_queued)
    try:
        callers.commit.run(storing(b"own"))
    finally:
        callers.may_begin.set()
        opening.result()


def awaiting(callers: Callers) -> None:
    asyncio.run(callers.commit.run_async(storing(b"own")))


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("role", [leading, leading_with_delay, following, awaiting])
def test_interrupted_caller_blocks_no_other_caller(
    loop: asyncio.AbstractEventLoop,
    pool: ThreadPoolExecutor,
    role: Callable[[Callers], None],
    error: type[BaseException],
) -> None:
    for step in count():
        callers = Callers(loop, pool)

        def body(callers: Callers = callers) -> None:
            with suppress(MemoryError, LmdbSaverError):
                role(callers)

        injector = Injector(step, error)
        injector.watch(body)
        callers.end(injector)
        if not injector.fired:
            break
    assert step > 10


def test_error_in_the_worker_blocks_no_caller(
    loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor
) -> None:
    for step in count():
        callers = Callers(loop, pool)
        injector = Injector(step, MemoryError)
        threading.setprofile(injector)
        try:
            own = asyncio.run_coroutine_threadsafe(callers.commit.run_async(storing(b"own")), loop)
            with suppress(RetryableError, MemoryError):
                assert own.result(PATIENCE) == b"own"
        finally:
            threading.setprofile(None)  # type: ignore[arg-type]
        callers.end(injector)
        if not injector.fired:
            break
    assert step > 10


class Refusing:
    """A patch that refuses to start threads while `refuses` is set, like a limit on processes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses = True
        start = threading.Thread.start

        def start_or_refuse(thread: threading.Thread) -> None:
            if self.refuses and thread.name.startswith("lmdb-saver"):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_or_refuse)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    return Refusing(monkeypatch)


def test_calls_succeed_again_when_the_worker_can_be_started(
    loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor, refusing: Refusing
) -> None:
    store = CountingStore()
    commit = GroupCommit(store)
    for _ in range(3):
        first = asyncio.run_coroutine_threadsafe(commit.run_async(storing(b"a")), loop)
        with pytest.raises(RetryableError, match="can't start new thread"):
            first.result(PATIENCE)
        assert pool.submit(commit.run, storing(b"b")).result(PATIENCE) == b"b"
    assert store.keys() == {b"b"}
    refusing.refuses = False
    again = asyncio.run_coroutine_threadsafe(commit.run_async(storing(b"a")), loop)
    assert again.result(PATIENCE) == b"a"
    commit.close()


def test_coroutines_behind_a_thread_fail_if_the_worker_cannot_be_started(
    loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor, refusing: Refusing
) -> None:
    store = CountingStore()
    commit = GroupCommit(store)
    store.gate.clear()
    first = pool.submit(commit.run, storing(b"a"))
    while not store.writes:
        pass
    calls = [
        asyncio.run_coroutine_threadsafe(commit.run_async(storing(key)), loop)
        for key in (b"b", b"c")
    ]
    while len(commit._queue) < 3:
        pass
    store.gate.set()
    assert first.result(PATIENCE) == b"a"
    for call in calls:
        with pytest.raises(RetryableError):
            call.result(PATIENCE)
    assert pool.submit(commit.run, storing(b"d")).result(PATIENCE) == b"d"
    assert store.keys() == {b"a", b"d"}
    refusing.refuses = False
    assert asyncio.run_coroutine_threadsafe(commit.run_async(storing(b"e")), loop).result(PATIENCE)
    commit.close()
