"""The gate before an environment: many inside, or one alone."""

from __future__ import annotations

import threading

import pytest

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.lmdb.shared_lock import SharedLock
from tests.kv.processes import in_thread


@pytest.fixture
def gate() -> SharedLock:
    return SharedLock()


def pass_through(gate: SharedLock) -> None:
    who = gate.check_not_held()
    gate.acquire_shared(who)
    gate.release_shared(who)


def test_many_are_inside_at_once(gate: SharedLock) -> None:
    gate.acquire_shared(gate.check_not_held())
    in_thread(lambda: pass_through(gate))
    with pytest.raises(UsageError):
        gate.check_not_held()


def test_whoever_comes_while_one_is_alone_waits(gate: SharedLock) -> None:
    entered = threading.Event()

    def enter() -> None:
        pass_through(gate)
        entered.set()

    thread = threading.Thread(target=enter)
    with gate.exclusive():
        thread.start()
        while not gate._changed._waiters and not entered.is_set():
            pass
        assert not entered.is_set()
        assert not gate._owners
    thread.join()
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

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait()
    with gate.exclusive():
        assert seen == ["left"]
    thread.join()


def test_time_that_runs_out_leaves_the_gate_open(gate: SharedLock) -> None:
    gate.acquire_shared(gate.check_not_held())
    shut = []
    in_thread(lambda: shut.append(gate.acquire_exclusive(timeout=0)))
    assert shut == [False]
    in_thread(lambda: pass_through(gate))


def test_one_at_a_time_is_alone(gate: SharedLock) -> None:
    counts = []
    count = 0

    def work() -> None:
        nonlocal count
        for _ in range(200):
            with gate.exclusive():
                count += 1
                counts.append(count)
                count -= 1
            pass_through(gate)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
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

    visitor = threading.Thread(target=visit)
    visitor.start()
    for _ in range(500):
        with gate.exclusive():
            met.append(inside)
    stop.set()
    visitor.join()
    assert set(met) == {0}


def test_whoever_is_inside_cannot_be_alone(gate: SharedLock) -> None:
    gate.acquire_shared(gate.check_not_held())
    with pytest.raises(UsageError), gate.exclusive():
        pass
    in_thread(lambda: pass_through(gate))
