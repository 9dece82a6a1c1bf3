"""An interrupt at any step of the group commit, in any role, leaves no other caller waiting."""

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
from tests.kv.test_group_commit import CountingStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from langgraph.checkpoint.lmdb.kv.base import Writer

pytestmark = pytest.mark.timeout(120)

_MODULES = (group_commit.__file__, pending_commit.__file__)

PATIENCE = 20
"""Seconds after which a caller counts as waiting forever."""


class Injector:
    """Raises an error once, at the n-th step of the two modules that Python can be interrupted at.

    Signal handlers run when a function begins and when a call of C code has ended.
    """

    def __init__(self, step: int, error: type[BaseException]) -> None:
        self.left = step
        self.error = error
        self.armed = True
        self.fired = False

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if self.fired or not self.armed or event not in ("call", "c_return"):
            return
        # A generator that is closed is called, too, and its errors are not raised. An event loop
        # drops a callback that fails at once, and a thread that fails at once was never there.
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
    """An operation that may be repeated, as one that was interrupted is."""

    def apply(writer: Writer) -> bytes:
        writer.put(key, b"1")
        return key

    return apply


class Company:
    """Other callers, threads and coroutines, which queue up during the first transaction."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor) -> None:
        self.loop, self.pool = loop, pool
        self.may_begin = threading.Event()
        self.may_begin.set()
        self.commit = GroupCommit(MeetingStore(self))
        self.coming = threading.Lock()
        self.calls: dict[bytes, Future[bytes]] = {}

    def meet(self) -> None:
        """Called in each transaction: wait in the first one until the others have queued up."""
        self.may_begin.wait()
        before = len(self.commit._queue)
        if self.come():
            while len(self.commit._queue) < before + 3:
                pass

    def come(self) -> bool:
        """Let them all call, unless they have; return whether they had not."""
        run, run_async = self.commit.run, self.commit.run_async
        with self.coming:
            if self.calls:
                return False
            self.calls[b"a"] = self.pool.submit(run, storing(b"a"))
            coroutine = run_async(storing(b"b"))
            self.calls[b"b"] = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
            self.calls[b"c"] = self.pool.submit(run, storing(b"c"), can_wait=True)
            return True

    def end(self, injector: Injector) -> None:
        """Check that each of them, and each later call, is done or told why not."""
        self.come()
        for key, call in self.calls.items():
            with suppress(RetryableError):
                assert call.result(PATIENCE) == key
        later = self.pool.submit(self.commit.run, storing(b"d"))
        assert later.result(PATIENCE) == b"d"
        for _ in range(2):  # the error may meet one, and the next while the thread tells of it
            with suppress(RetryableError):
                self.call_later()
        injector.armed = False
        assert self.call_later() == b"e"
        self.commit.close()

    def call_later(self) -> bytes:
        coroutine = self.commit.run_async(storing(b"e"))
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)


class MeetingStore(CountingStore):
    """A store whose first write transaction lasts until others have queued up."""

    __slots__ = ("company",)

    def __init__(self, company: Company) -> None:
        super().__init__()
        self.company = company

    def write(self, apply: Callable[[Writer], Any]) -> Any:
        self.company.meet()
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


def leading(company: Company) -> None:
    company.commit.run(storing(b"own"))


def leading_patiently(company: Company) -> None:
    company.commit.run(storing(b"own"), can_wait=True)


def following(company: Company) -> None:
    """The first transaction is another thread's."""
    company.may_begin.clear()
    company.pool.submit(company.commit.run, storing(b"first"))
    while company.commit._leader is None:
        pass

    def go_on() -> None:
        while len(company.commit._queue) < 2 and not company.may_begin.is_set():
            pass
        company.may_begin.set()

    going_on = company.pool.submit(go_on)
    try:
        company.commit.run(storing(b"own"))
    finally:
        company.may_begin.set()
        going_on.result()


def awaiting(company: Company) -> None:
    asyncio.run(company.commit.run_async(storing(b"own")))


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("role", [leading, leading_patiently, following, awaiting])
def test_an_interrupted_caller(
    loop: asyncio.AbstractEventLoop,
    pool: ThreadPoolExecutor,
    role: Callable[[Company], None],
    error: type[BaseException],
) -> None:
    for step in count():
        company = Company(loop, pool)

        def body(company: Company = company) -> None:
            with suppress(MemoryError, LmdbSaverError):
                role(company)

        injector = Injector(step, error)
        injector.watch(body)
        company.end(injector)
        if not injector.fired:
            break
    assert step > 10


def test_an_error_in_the_thread_that_serves_coroutines(
    loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor
) -> None:
    for step in count():
        company = Company(loop, pool)
        injector = Injector(step, MemoryError)
        threading.setprofile(injector)
        try:
            own = asyncio.run_coroutine_threadsafe(company.commit.run_async(storing(b"own")), loop)
            with suppress(RetryableError, MemoryError):
                assert own.result(PATIENCE) == b"own"
        finally:
            threading.setprofile(None)  # type: ignore[arg-type]
        company.end(injector)
        if not injector.fired:
            break
    assert step > 10


class Refusing:
    """Refuses to start threads for as long as it is told to, as a limit on processes does."""

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


def test_a_thread_that_cannot_be_started_is_an_error_that_passes(
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


def test_coroutines_behind_a_thread_are_told_that_none_can_be_started(
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
