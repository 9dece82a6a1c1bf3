"""The gate before an environment: many inside, or one alone."""

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
def gate() -> SharedLock:
    return SharedLock()


def pass_through(gate: SharedLock) -> None:
    who = gate.check_not_held()
    gate.acquire_shared(who)
    gate.release_shared(who)


def started(body: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=body)
    thread.start()
    return thread


class Inside:
    """A thread that stays inside until it is told to leave."""

    def __init__(self, gate: SharedLock) -> None:
        self.gate = gate
        self.entered, self.go = threading.Event(), threading.Event()
        self.thread = started(self._stay)
        self.entered.wait()

    def _stay(self) -> None:
        who = self.gate.check_not_held()
        self.gate.acquire_shared(who)
        self.entered.set()
        self.go.wait()
        self.gate.release_shared(who)

    def leave(self) -> None:
        self.go.set()
        self.thread.join()


def test_many_are_inside_at_once(gate: SharedLock) -> None:
    gate.acquire_shared(gate.check_not_held())
    in_thread(lambda: pass_through(gate))
    with pytest.raises(UsageError):
        gate.check_not_held()


def test_whoever_comes_while_one_is_alone_waits(
    gate: SharedLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, waits = threading.Event(), threading.Event()
    slept = module.sleep

    def sleep(seconds: float) -> None:
        waits.set()
        slept(seconds)

    monkeypatch.setattr(module, "sleep", sleep)

    def enter() -> None:
        pass_through(gate)
        entered.set()

    def action() -> threading.Thread:
        thread = started(enter)
        waits.wait()
        assert not entered.is_set()
        assert not gate._owners
        return thread

    gate.exclusive(action).join()
    assert entered.is_set()


def test_to_be_alone_is_to_wait_for_those_inside(gate: SharedLock) -> None:
    inside, seen = threading.Event(), []

    def stay() -> None:
        who = gate.check_not_held()
        gate.acquire_shared(who)
        inside.set()
        while not gate._exclusive:
            pass
        seen.append("left")
        gate.release_shared(who)

    thread = started(stay)
    inside.wait()
    gate.exclusive(lambda: seen.append("alone"))
    thread.join()
    assert seen == ["left", "alone"]


def test_others_come_and_go_while_one_waits_for_an_old_one(gate: SharedLock) -> None:
    """A long read keeps a writer from making the map larger, and no other read from anything."""
    old = Inside(gate)
    alone = threading.Event()
    waiting = started(lambda: gate.exclusive(alone.set))
    while not gate._exclusive:
        pass
    for _ in range(3):
        pass_through(gate)  # waits until the old one has had its moment
        assert not alone.is_set()
    old.leave()
    waiting.join()
    assert alone.is_set()


def test_time_that_runs_out_leaves_the_gate_open(gate: SharedLock) -> None:
    old = Inside(gate)
    with pytest.raises(RetryableError, match="reading the store"):
        gate.exclusive(lambda: None, timeout=0)
    pass_through(gate)
    old.leave()
    gate.exclusive(lambda: None, timeout=0)


def test_what_fails_alone_leaves_the_gate_open(gate: SharedLock) -> None:
    with pytest.raises(ZeroDivisionError):
        gate.exclusive(lambda: 1 // 0)
    in_thread(lambda: pass_through(gate))
    in_thread(lambda: gate.exclusive(lambda: None))


def test_one_at_a_time_is_alone(gate: SharedLock) -> None:
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
            gate.exclusive(action)
            pass_through(gate)

    threads = [started(work) for _ in range(4)]
    for thread in threads:
        thread.join()
    assert set(counts) == {1}


def test_alone_means_that_nobody_is_inside(gate: SharedLock) -> None:
    inside = 0
    stop = threading.Event()
    met = []

    def visit() -> None:
        nonlocal inside
        while not stop.is_set():
            who = gate.check_not_held()
            gate.acquire_shared(who)
            inside += 1
            inside -= 1
            gate.release_shared(who)

    visitor = started(visit)
    for _ in range(500):
        gate.exclusive(lambda: met.append(inside))
    stop.set()
    visitor.join()
    assert set(met) == {0}


def test_whoever_is_inside_cannot_be_alone(gate: SharedLock) -> None:
    gate.acquire_shared(gate.check_not_held())
    with pytest.raises(UsageError):
        gate.exclusive(lambda: None)
    in_thread(lambda: pass_through(gate))


def test_whoever_is_alone_cannot_enter(gate: SharedLock) -> None:
    """As a signal handler would that interrupts it: it would wait for itself."""
    for use in (pass_through, lambda gate: gate.exclusive(lambda: None)):
        with pytest.raises(UsageError, match="interrupted"):
            gate.exclusive(lambda use=use: use(gate))  # type: ignore[misc]
    pass_through(gate)


def test_an_interrupt_while_waiting_to_be_alone_leaves_the_gate_open(gate: SharedLock) -> None:
    main = threading.main_thread().ident
    assert main is not None
    old = Inside(gate)

    def interrupt() -> None:
        while not gate._exclusive:
            pass
        signal.pthread_kill(main, signal.SIGINT)

    interrupting = started(interrupt)
    with pytest.raises(KeyboardInterrupt):
        gate.exclusive(lambda: None)
    interrupting.join()
    in_thread(lambda: pass_through(gate))
    old.leave()
    in_thread(lambda: gate.exclusive(lambda: None))


def test_at_once_means_without_waiting(gate: SharedLock) -> None:
    seen: list[str] = []

    def at_once(name: str) -> bool:
        return gate.try_exclusive(lambda: seen.append(name))

    assert at_once("free")
    old = Inside(gate)
    assert not at_once("another thread is inside")
    old.leave()
    gate.acquire_shared(gate.check_not_held())
    assert not at_once("this thread is inside")
    gate.release_shared(threading.get_ident())
    assert not gate.exclusive(lambda: at_once("this thread is alone"))
    others: list[bool] = []
    gate.exclusive(lambda: in_thread(lambda: others.append(at_once("another thread is alone"))))
    assert others == [False]
    with pytest.raises(ZeroDivisionError):
        gate.try_exclusive(lambda: 1 // 0)
    in_thread(lambda: pass_through(gate))
    assert seen == ["free"]
    assert at_once("free again")
