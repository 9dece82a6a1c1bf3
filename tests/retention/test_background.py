"""Sweeping in the background: who does it, when, and how it ends."""

from __future__ import annotations

import copy
import gc
import logging
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.engine import sweep
from langgraph.checkpoint.lmdb.operations import background, retention
from langgraph.checkpoint.lmdb.operations.background import Sweeper
from langgraph.checkpoint.lmdb.operations.session import simple
from tests.contract.driver import SaverDriver, put
from tests.retention.stores import CountingStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.retention.conftest import Clock

PATIENCE = 60.0
"""Seconds until something that is waited for counts as lost."""
MINUTE = 60_000
TTL: Any = {"default_ttl": 5, "sweep_interval_minutes": 10}
OTHER: Any = {"keep_last": 1, "sweep_interval_minutes": 10}


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sweeper]:
    """Makes sweepers whose turns the test takes: each stands for a process."""
    monkeypatch.setattr(Sweeper, "_serve", lambda _: None)
    monkeypatch.setattr(background, "_sweepers", {})

    def make(*savers: LmdbSaver, interval: int = 10 * MINUTE) -> Sweeper:
        made = Sweeper()
        for saver in savers:
            made.add(saver._session, interval)
        return made

    return make


@pytest.fixture
def saver(kv: CountingStore, clock: Clock) -> LmdbSaver:
    saver = LmdbSaver.on(kv, clock=clock, ttl={"default_ttl": 5})
    put(SaverDriver(saver), "1")
    clock.wait(5)
    return saver


def test_one_sweeps_at_a_time(
    saver: LmdbSaver, clock: Clock, by_hand: Callable[..., Sweeper]
) -> None:
    """Whoever comes while another one is at it, or soon after, waits for the interval."""
    one, two = by_hand(saver), by_hand(saver)
    seen: list[int] = []
    swept = retention.sweep

    def meanwhile(*args: Any) -> Any:
        seen.append(two.turn())
        return swept(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "sweep", meanwhile)
        assert one.turn() == 10 * MINUTE
    assert seen == [sweep.LEASE]
    assert saver.stats().threads == 0
    clock.wait(4)
    assert two.turn() == one.turn() == 6 * MINUTE
    clock.wait(6)
    put(SaverDriver(saver), "1")
    clock.wait(5)
    assert two.turn() == 10 * MINUTE
    assert saver.stats().threads == 0
    assert one.turn() == 10 * MINUTE


def test_one_that_died_is_waited_for_no_longer_than_its_lease(
    saver: LmdbSaver, clock: Clock, by_hand: Callable[..., Sweeper]
) -> None:
    saver._session.run(simple(sweep.claim(b"dead", saver._session.store.options.now(), MINUTE)))
    one = by_hand(saver, interval=4 * MINUTE)
    for wait in (4, 4, 2):
        assert one.turn() == wait * MINUTE
        assert saver.stats().threads == 1
        clock.wait(wait)
    assert one.turn() == 4 * MINUTE
    assert saver.stats().threads == 0


@pytest.mark.parametrize("moment", ["claim", "sweep", "finish", "later"])
def test_a_saver_closed_in_mid_sweep_leaves_it_to_others(
    path: Path,
    clock: Clock,
    by_hand: Callable[..., Sweeper],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """At once, not when the lease is over; also if it did not come to an end before."""
    filled(path, clock)
    closing = LmdbSaver(path, sync="off", clock=clock, ttl=TTL)
    (one,) = background._sweepers.values()
    module = sweep if moment in ("claim", "finish") else retention
    called = getattr(module, "sweep" if module is retention else moment)

    def closes(*args: Any) -> Any:
        if moment == "later":
            raise OSError("the disk is not there")
        closing.close()
        return called(*args)

    with LmdbSaver(path, sync="off", clock=clock, ttl={"default_ttl": 5}) as other:
        with monkeypatch.context() as patch:
            patch.setattr(module, called.__name__, closes)
            one.turn()
        closing.close()
        assert by_hand(other).turn() == 10 * MINUTE
        assert other.stats().threads == 0


def test_a_saver_that_is_being_closed_begins_no_sweep(
    path: Path, clock: Clock, by_hand: Callable[..., Sweeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if its turn had begun before."""
    filled(path, clock)
    closing = LmdbSaver(path, sync="off", clock=clock, ttl=TTL)
    (one,) = background._sweepers.values()
    session = closing._session
    waits: list[int] = []
    monkeypatch.setattr(
        closing._commit, "close", lambda: waits.append(one._claim(session, 10 * MINUTE))
    )
    with LmdbSaver(path, sync="off", clock=clock, ttl={"default_ttl": 5}) as other:
        closing.close()
        assert by_hand(other).turn() == 10 * MINUTE
        assert other.stats().threads == 0
    assert waits == [10 * MINUTE]


def test_a_clock_that_was_put_back(
    saver: LmdbSaver, clock: Clock, by_hand: Callable[..., Sweeper]
) -> None:
    """A lease, and a last sweep, of the future hold nobody up."""
    one, two = by_hand(saver), by_hand(saver)
    clock.wait(1e6)
    assert one.turn() == 10 * MINUTE
    saver._session.run(simple(sweep.claim(b"dead", saver._session.store.options.now() + MINUTE, 1)))
    clock.wait(-1e6)
    put(SaverDriver(saver), "1")
    clock.wait(5)
    assert two.turn() == 10 * MINUTE
    assert saver.stats().threads == 0


def test_a_sweep_that_fails_is_logged_and_tried_again(
    saver: LmdbSaver,
    by_hand: Callable[..., Sweeper],
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = by_hand(saver)

    def fail(*_: Any) -> Any:
        raise OSError("the disk is not there")

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(retention, "sweep", fail)
        assert one.turn() == 10 * MINUTE
    assert "the disk is not there" in caplog.text
    assert saver.stats().threads == 1
    assert one.turn() == 10 * MINUTE
    assert saver.stats().threads == 0


def test_savers_of_a_process_sweep_by_rules_of_their_own(
    saver: LmdbSaver, kv: CountingStore, clock: Clock, by_hand: Callable[..., Sweeper]
) -> None:
    """None of them is kept from it since another one has just done it; a closed one is left out."""
    other = LmdbSaver.on(kv, clock=clock, ttl={"keep_last": 1})
    closed = LmdbSaver.on(CountingStore(), clock=clock)
    closed.close()
    put(SaverDriver(saver), "1", thread="b")
    put(SaverDriver(saver), "2", thread="b", parent="1")
    one = by_hand(closed, saver, other)
    one.turn()
    assert one.turn() == 10 * MINUTE
    assert saver.stats().checkpoints == 1


def test_nobody_to_sweep_for(by_hand: Callable[..., Sweeper]) -> None:
    assert by_hand().turn() == 0


class Watched:
    """Tells when a sweeper in the background has taken a turn."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.turns = threading.Semaphore(0)
        taken = Sweeper.turn

        def turn(this: Sweeper) -> int:
            wait = taken(this)
            self.turns.release()
            return wait

        patch.setattr(Sweeper, "turn", turn)

    def wait(self) -> None:
        assert self.turns.acquire(timeout=PATIENCE)


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "lmdb-saver-sweep"]


def ended(expected: list[threading.Thread]) -> bool:
    for one in expected:
        one.join(PATIENCE)
    return not any(one.is_alive() for one in expected)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    assert ended(threads())
    return Watched(monkeypatch)


def filled(path: Path, clock: Clock) -> None:
    """A store with a thread that has expired."""
    with LmdbSaver(path, sync="off", clock=clock) as saver:
        put(SaverDriver(saver), "1")
    clock.wait(5)


def test_one_thread_for_each_store(path: Path, clock: Clock, watched: Watched) -> None:
    """A daemon, that sweeps at once, and that ends with the last saver that asked for it."""
    filled(path, clock)
    with LmdbSaver(path, sync="off", clock=clock, ttl=TTL) as one:
        watched.wait()
        assert one.stats().threads == 0
        (running,) = threads()
        assert running.daemon
        with (
            LmdbSaver(path, sync="off", clock=clock, ttl=OTHER),
            LmdbSaver(path.with_name("other"), sync="off", clock=clock, ttl=TTL),
            LmdbSaver(path, sync="off", clock=clock, ttl={"default_ttl": 5}),
            LmdbSaver(path, sync="off", readonly=True, ttl=TTL),
        ):
            assert len(threads()) == 2
            (second,) = (each for each in threads() if each is not running)
        assert ended([second])
        assert running.is_alive()
    assert ended([running])
    assert not background._sweepers


def test_a_saver_that_is_collected(path: Path, clock: Clock, watched: Watched) -> None:
    """Its thread ends at once, though nobody closed it; another saver gets another thread."""
    saver: Any = LmdbSaver(path, sync="off", clock=clock, ttl=TTL)
    watched.wait()
    running = threads()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del saver
        gc.collect()
        assert ended(running)
    assert [one.category for one in caught] == [ResourceWarning]
    filled(path, clock)
    clock.wait(10)
    while watched.turns.acquire(blocking=False):
        pass
    with LmdbSaver(path, sync="off", clock=clock, ttl=TTL) as another:
        watched.wait()
        assert another.stats().threads == 0


def test_a_copy_of_a_saver_goes_on(path: Path, clock: Clock, watched: Watched) -> None:
    """As LangGraph makes one; the thread is that of the store."""
    saver: Any = LmdbSaver(path, sync="off", clock=clock, ttl=TTL)
    watched.wait()
    (running,) = threads()
    other = copy.copy(saver)
    del saver
    gc.collect()
    assert running.is_alive()
    assert threads() == [running]
    other.close()
    assert ended([running])


def test_a_closed_saver_opens_again(path: Path, clock: Clock, watched: Watched) -> None:
    for _ in range(20):
        filled(path, clock)
        clock.wait(10)
        with LmdbSaver(path, sync="off", clock=clock, ttl=TTL) as saver:
            watched.wait()
            assert saver.stats().threads == 0
        while watched.turns.acquire(blocking=False):
            pass
    assert ended(threads())


SETUP = """
import os, sys, threading, gc
from langgraph.checkpoint.lmdb import LmdbSaver, sweeper
from tests.contract.faces import Face, put, put_chain
turns = threading.Semaphore(0)
taken = background.Sweeper.turn
def turn(this):
    wait = taken(this)
    turns.release()
    return wait
background.Sweeper.turn = turn
soon = {"default_ttl": 1e-9, "sweep_interval_minutes": 1e-9}
saver = LmdbSaver(sys.argv[1], sync="off", ttl=soon)
lenient = LmdbSaver(sys.argv[1], sync="off")
def fill(name, count=1):
    for number in range(count):
        put_chain(Face(lenient), [f"{i:03}" for i in range(5)], thread=f"{name} {number}")
def emptied():
    while lenient.stats().threads:
        assert turns.acquire(timeout=60)
"""


def run(path: Path, program: str) -> None:
    """Run a program to its end, about which it says nothing."""
    # One of the ends drops its savers, of which a warning tells.
    options = ("-W", "error", "-W", "ignore::ResourceWarning")
    done = subprocess.run(
        [sys.executable, *options, "-c", SETUP + program, str(path)],
        capture_output=True,
        timeout=2 * PATIENCE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


@pytest.mark.parametrize(
    "end",
    [
        "",
        "saver.close(); lenient.close()",
        "saver.close()",
        "del saver, lenient",
        "sys.exit(0)",
        "threading.Thread(target=fill, args=('late', 20)).start()",
        "fill('more', 50)",
    ],
)
def test_the_end_of_the_interpreter_is_quiet(path: Path, end: str) -> None:
    """In the midst of sweeping, with the saver closed or not."""
    run(path, f"fill('first', 20)\nassert turns.acquire(timeout=60)\n{end}")


def test_a_forked_child_sweeps(path: Path) -> None:
    """Its own thread goes on with the store, and ends when the saver is closed; so does the
    parent's."""
    program = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
def named():
    return [t for t in threading.enumerate() if t.name == "lmdb-saver-sweep"]
fill("before", 3)
emptied()
for _ in range(20):
    child = os.fork()
    if not child:
        status = 1
        try:
            turns = threading.Semaphore(0)
            fill("child")
            emptied()
            (mine,) = named()
            assert turns.acquire(timeout=60)
            saver.close()
            mine.join(60)
            status = int(mine.is_alive())
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
fill("after")
emptied()
assert turns.acquire(timeout=60)
"""
    run(path, program)
