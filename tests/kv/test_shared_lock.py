"""The gate before an environment: many inside, or one alone."""

from __future__ import annotations

import threading

import pytest

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.lmdb.shared_lock import Gate
from tests.kv.processes import in_thread


@pytest.fixture
def gate() -> Gate:
    return Gate()


def pass_through(gate: Gate) -> None:
    who = gate.outside()
    gate.enter(who)
    gate.leave(who)


def test_many_are_inside_at_once(gate: Gate) -> None:
    gate.enter(gate.outside())
    in_thread(lambda: pass_through(gate))
    with pytest.raises(UsageError):
        gate.outside()


def test_whoever_comes_while_one_is_alone_waits(gate: Gate) -> None:
    entered = threading.Event()

    def enter() -> None:
        pass_through(gate)
        entered.set()

    thread = threading.Thread(target=enter)
    with gate.alone():
        thread.start()
        while not gate._changed._waiters and not entered.is_set():
            pass
        assert not entered.is_set()
        assert not gate._inside
    thread.join()
    assert entered.is_set()


def test_to_be_alone_is_to_wait_for_those_inside(gate: Gate) -> None:
    inside, seen = threading.Event(), []

    def stay() -> None:
        who = gate.outside()
        gate.enter(who)
        inside.set()
        while not gate._shut:
            pass
        seen.append("left")
        gate.leave(who)

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait()
    with gate.alone():
        assert seen == ["left"]
    thread.join()


def test_time_that_runs_out_leaves_the_gate_open(gate: Gate) -> None:
    gate.enter(gate.outside())
    shut = []
    in_thread(lambda: shut.append(gate.shut(timeout=0)))
    assert shut == [False]
    in_thread(lambda: pass_through(gate))


def test_one_at_a_time_is_alone(gate: Gate) -> None:
    counts = []
    count = 0

    def work() -> None:
        nonlocal count
        for _ in range(200):
            with gate.alone():
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


def test_alone_means_that_nobody_is_inside(gate: Gate) -> None:
    inside = 0
    stop = threading.Event()
    met = []

    def visit() -> None:
        nonlocal inside
        while not stop.is_set():
            who = gate.outside()
            gate.enter(who)
            inside += 1
            inside -= 1
            gate.leave(who)

    visitor = threading.Thread(target=visit)
    visitor.start()
    for _ in range(500):
        with gate.alone():
            met.append(inside)
    stop.set()
    visitor.join()
    assert set(met) == {0}


def test_whoever_is_inside_cannot_be_alone(gate: Gate) -> None:
    gate.enter(gate.outside())
    with pytest.raises(UsageError), gate.alone():
        pass
    in_thread(lambda: pass_through(gate))
