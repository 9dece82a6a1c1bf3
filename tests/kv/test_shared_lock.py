"""The shared lock of an environment: many shared holders, or one exclusive holder."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.errors import RetryableError, UsageError
from langgraph.checkpoint.lmdb.kv.lmdb import shared_lock as module
from langgraph.checkpoint.lmdb.kv.lmdb.shared_lock import SharedLock
from tests.kv.processes import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def lock() -> SharedLock:
    return SharedLock()


def acquire_and_release(lock: SharedLock) -> None:
    who = lock.check_not_held()
    lock.acquire_shared(who)
    lock.release_shared(who)


def started(body: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=body)
    thread.start()
    return thread


class Holder:
    """A thread that holds the lock shared until `release`."""

    def __init__(self, lock: SharedLock) -> None:
        self.lock = lock
        self.acquired, self.go = threading.Event(), threading.Event()
        self.thread = started(self._hold)
        self.acquired.wait()

    def _hold(self) -> None:
        who = self.lock.check_not_held()
        self.lock.acquire_shared(who)
        self.acquired.set()
        self.go.wait()
        self.lock.release_shared(who)

    def release(self) -> None:
        self.go.set()
        self.thread.join()


def test_many_threads_hold_the_lock_shared(lock: SharedLock) -> None:
    lock.acquire_shared(lock.check_not_held())
    in_thread(lambda: acquire_and_release(lock))
    with pytest.raises(UsageError):
        lock.check_not_held()


def test_shared_acquire_waits_for_the_exclusive_holder(
    lock: SharedLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquired, waits = threading.Event(), threading.Event()
    slept = module.sleep

    def sleep(seconds: float) -> None:
        waits.set()
        slept(seconds)

    monkeypatch.setattr(module, "sleep", sleep)

    def enter() -> None:
        acquire_and_release(lock)
        acquired.set()

    def action() -> threading.Thread:
        thread = started(enter)
        waits.wait()
        assert not acquired.is_set()
        assert not lock._owners
        return thread

    lock.exclusive(action).join()
    assert acquired.is_set()


def test_exclusive_waits_for_shared_holders(lock: SharedLock) -> None:
    inside, seen = threading.Event(), []

    def stay() -> None:
        who = lock.check_not_held()
        lock.acquire_shared(who)
        inside.set()
        while not lock._exclusive:
            pass
        seen.append("left")
        lock.release_shared(who)

    thread = started(stay)
    inside.wait()
    lock.exclusive(lambda: seen.append("alone"))
    thread.join()
    assert seen == ["left", "alone"]


def test_shared_acquires_succeed_while_exclusive_waits_for_a_long_holder(lock: SharedLock) -> None:
    """During a long read the map cannot grow, but other reads can begin."""
    old = Holder(lock)
    alone = threading.Event()
    waiting = started(lambda: lock.exclusive(alone.set))
    while not lock._exclusive:
        pass
    for _ in range(3):
        acquire_and_release(lock)  # waits until the exclusive acquire has timed out once
        assert not alone.is_set()
    old.release()
    waiting.join()
    assert alone.is_set()


def test_lock_is_free_after_a_timeout(lock: SharedLock) -> None:
    old = Holder(lock)
    with pytest.raises(RetryableError, match="reading the store"):
        lock.exclusive(lambda: None, timeout=0)
    acquire_and_release(lock)
    old.release()
    lock.exclusive(lambda: None, timeout=0)


def test_lock_is_free_after_an_error_of_the_exclusive_holder(lock: SharedLock) -> None:
    with pytest.raises(ZeroDivisionError):
        lock.exclusive(lambda: 1 // 0)
    in_thread(lambda: acquire_and_release(lock))
    in_thread(lambda: lock.exclusive(lambda: None))


def test_one_thread_at_a_time_holds_the_lock_exclusively(lock: SharedLock) -> None:
    counts = []
    count = 0

    def work() -> None:
        nonlocal count

        def action() -> None:
            nonlocal count
            count += 1
            counts.append(count)
            count -= 1

        for _ in range(200):
            lock.exclusive(action)
            acquire_and_release(lock)

    threads = [started(work) for _ in range(4)]
    for thread in threads:
        thread.join()
    assert set(counts) == {1}


def test_exclusive_holder_excludes_shared_holders(lock: SharedLock) -> None:
    inside = 0
    stop = threading.Event()
    met = []

    def visit() -> None:
        nonlocal inside
        while not stop.is_set():
            who = lock.check_not_held()
            lock.acquire_shared(who)
            inside += 1
            inside -= 1
            lock.release_shared(who)

    visitor = started(visit)
    for _ in range(500):
        lock.exclusive(lambda: met.append(inside))
    stop.set()
    visitor.join()
    assert set(met) == {0}


def test_shared_holder_cannot_acquire_exclusively(lock: SharedLock) -> None:
    lock.acquire_shared(lock.check_not_held())
    with pytest.raises(UsageError):
        lock.exclusive(lambda: None)
    in_thread(lambda: acquire_and_release(lock))


def test_exclusive_holder_cannot_acquire_again(lock: SharedLock) -> None:
    """A signal handler that interrupts the holder would wait for itself."""
    for use in (acquire_and_release, lambda lock: lock.exclusive(lambda: None)):
        with pytest.raises(UsageError, match="interrupted"):
            lock.exclusive(lambda use=use: use(lock))  # type: ignore[misc]
    acquire_and_release(lock)


def test_lock_is_free_after_an_interrupt_of_a_waiting_exclusive_acquire(lock: SharedLock) -> None:
    main = threading.main_thread().ident
    assert main is not None
    old = Holder(lock)

    def interrupt() -> None:
        while not lock._exclusive:
            pass
        signal.pthread_kill(main, signal.SIGINT)

    interrupting = started(interrupt)
    with pytest.raises(KeyboardInterrupt):
        lock.exclusive(lambda: None)
    interrupting.join()
    in_thread(lambda: acquire_and_release(lock))
    old.release()
    in_thread(lambda: lock.exclusive(lambda: None))


def test_try_exclusive_does_not_wait(lock: SharedLock) -> None:
    seen: list[str] = []

    def try_now(name: str) -> bool:
        return lock.try_exclusive(lambda: seen.append(name))

    assert try_now("free")
    old = Holder(lock)
    assert not try_now("another thread is a shared holder")
    old.release()
    lock.acquire_shared(lock.check_not_held())
    assert not try_now("this thread is a shared holder")
    lock.release_shared(threading.get_ident())
    assert not lock.exclusive(lambda: try_now("this thread is the exclusive holder"))
    others: list[bool] = []
    lock.exclusive(
        lambda: in_thread(lambda: others.append(try_now("another thread is the exclusive holder")))
    )
    assert others == [False]
    with pytest.raises(ZeroDivisionError):
        lock.try_exclusive(lambda: 1 // 0)
    in_thread(lambda: acquire_and_release(lock))
    assert seen == ["free"]
    assert try_now("free again")
