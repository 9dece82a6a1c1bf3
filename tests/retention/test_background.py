"""Background sweeps: their lease, their interval, and the end of their threads."""

from __future__ import annotations

import copy
import gc
import logging
import subprocess
import sys
import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.engine import leases
from langgraph.checkpoint.lmdb.operations import background, retention
from langgraph.checkpoint.lmdb.operations.background import Sweeper
from langgraph.checkpoint.lmdb.operations.session import simple
from tests.contract.driver import SaverDriver, put
from tests.retention.stores import CountingStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.retention.conftest import Clock

TIMEOUT_S = 60.0
"""Seconds after which a test that waits has failed."""
MINUTE = 60_000
TTL: Any = {"default_ttl": 5, "sweep_interval_minutes": 10}
OTHER: Any = {"keep_last": 1, "sweep_interval_minutes": 10}


@pytest.fixture
def make_sweeper(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sweeper]:
    """Return a function that creates sweepers without a thread. Each simulates a process."""
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
    saver = KvSaver(kv, clock=clock, ttl={"default_ttl": 5})
    put(SaverDriver(saver), "1")
    clock.wait(5)
    return saver


def test_only_one_process_sweeps_at_a_time(
    saver: LmdbSaver, clock: Clock, make_sweeper: Callable[..., Sweeper]
) -> None:
    """Another process waits while the lease is held, and until the interval has passed."""
    one, two = make_sweeper(saver), make_sweeper(saver)
    waits: list[int] = []
    sweep = retention.sweep

    def sweep_while_other_waits(*args: Any) -> Any:
        waits.append(two.run_once())
        return sweep(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "sweep", sweep_while_other_waits)
        assert one.run_once() == 10 * MINUTE
    assert waits == [leases.LEASE_MS]
    assert saver.stats().threads == 0
    clock.wait(4)
    assert two.run_once() == one.run_once() == 6 * MINUTE
    clock.wait(6)
    put(SaverDriver(saver), "1")
    clock.wait(5)
    assert two.run_once() == 10 * MINUTE
    assert saver.stats().threads == 0
    assert one.run_once() == 10 * MINUTE


def take_lease(saver: LmdbSaver, later: int, interval: int) -> None:
    """Take the lease as another process would at a time `later` milliseconds from now."""
    now = saver._session.options.now() + later
    saver._session.run(simple(partial(leases.acquire, token=b"dead", now=now, interval=interval)))


def test_lease_of_dead_process_expires(
    saver: LmdbSaver, clock: Clock, make_sweeper: Callable[..., Sweeper]
) -> None:
    take_lease(saver, 0, MINUTE)
    one = make_sweeper(saver, interval=4 * MINUTE)
    for wait in (4, 4, 2):
        assert one.run_once() == wait * MINUTE
        assert saver.stats().threads == 1
        clock.wait(wait)
    assert one.run_once() == 4 * MINUTE
    assert saver.stats().threads == 0


@pytest.mark.parametrize("moment", ["acquire", "sweep", "release", "failed"])
def test_saver_closed_during_sweep_releases_its_lease(
    path: Path,
    clock: Clock,
    make_sweeper: Callable[..., Sweeper],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Another saver sweeps immediately, not after the lease has expired."""
    store_expired_thread(path, clock)
    closing = LmdbSaver(path, sync="off", clock=clock, ttl=TTL)
    (one,) = background._sweepers.values()
    acquire, sweep = one._acquire_lease, retention.sweep

    def close_and_acquire(*args: Any) -> int:
        closing.close()
        return acquire(*args)

    def sweep_and_close(*args: Any) -> Any:
        if moment == "failed":
            raise OSError("the disk is not there")
        if moment == "sweep":
            closing.close()
        report = yield from sweep(*args)
        closing.close()
        return report

    with LmdbSaver(path, sync="off", clock=clock, ttl={"default_ttl": 5}) as other:
        with monkeypatch.context() as patch:
            if moment == "acquire":
                patch.setattr(one, "_acquire_lease", close_and_acquire)
            else:
                patch.setattr(retention, "sweep", sweep_and_close)
            one.run_once()
        closing.close()
        assert make_sweeper(other).run_once() == 10 * MINUTE
        assert other.stats().threads == 0


def test_closed_saver_does_not_acquire_lease(
    path: Path, clock: Clock, make_sweeper: Callable[..., Sweeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if `run_once` began before the saver was closed."""
    store_expired_thread(path, clock)
    closing = LmdbSaver(path, sync="off", clock=clock, ttl=TTL)
    (one,) = background._sweepers.values()
    session = closing._session
    waits: list[int] = []
    monkeypatch.setattr(
        closing._session._commit,
        "close",
        lambda: waits.append(one._acquire_lease(session, 10 * MINUTE)),
    )
    with LmdbSaver(path, sync="off", clock=clock, ttl={"default_ttl": 5}) as other:
        closing.close()
        assert make_sweeper(other).run_once() == 10 * MINUTE
        assert other.stats().threads == 0
    assert waits == [10 * MINUTE]


def test_lease_and_last_sweep_in_the_future_are_ignored(
    saver: LmdbSaver, clock: Clock, make_sweeper: Callable[..., Sweeper]
) -> None:
    """This happens when the clock of the machine is set back."""
    one, two = make_sweeper(saver), make_sweeper(saver)
    clock.wait(1e6)
    assert one.run_once() == 10 * MINUTE
    take_lease(saver, MINUTE, 1)
    clock.wait(-1e6)
    put(SaverDriver(saver), "1")
    clock.wait(5)
    assert two.run_once() == 10 * MINUTE
    assert saver.stats().threads == 0


def test_failed_sweep_is_logged_and_repeated(
    saver: LmdbSaver,
    make_sweeper: Callable[..., Sweeper],
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = make_sweeper(saver)

    def fail(*_: Any) -> Any:
        raise OSError("the disk is not there")

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(retention, "sweep", fail)
        assert one.run_once() == 10 * MINUTE
    assert "the disk is not there" in caplog.text
    assert saver.stats().threads == 1
    assert one.run_once() == 10 * MINUTE
    assert saver.stats().threads == 0


def test_each_saver_of_a_process_sweeps_by_its_own_policy(
    saver: LmdbSaver, kv: CountingStore, clock: Clock, make_sweeper: Callable[..., Sweeper]
) -> None:
    """The interval applies to all savers together. A closed saver is skipped."""
    other = KvSaver(kv, clock=clock, ttl={"keep_last": 1})
    closed = KvSaver(CountingStore(), clock=clock)
    closed.close()
    put(SaverDriver(saver), "1", thread="b")
    put(SaverDriver(saver), "2", thread="b", parent="1")
    one = make_sweeper(closed, saver, other)
    one.run_once()
    assert one.run_once() == 10 * MINUTE
    assert saver.stats().checkpoints == 1


def test_sweeper_without_savers_does_nothing(make_sweeper: Callable[..., Sweeper]) -> None:
    assert make_sweeper().run_once() == 0


class SweepCounter:
    """A counter of the calls of `run_once` in background threads."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.runs = threading.Semaphore(0)
        run_once = Sweeper.run_once

        def counted(this: Sweeper) -> int:
            wait = run_once(this)
            self.runs.release()
            return wait

        patch.setattr(Sweeper, "run_once", counted)

    def wait(self) -> None:
        """Wait for the next run."""
        assert self.runs.acquire(timeout=TIMEOUT_S)


def sweep_threads() -> list[threading.Thread]:
    """Return the running threads of sweepers."""
    return [one for one in threading.enumerate() if one.name == "lmdb-saver-sweep"]


def have_ended(expected: list[threading.Thread]) -> bool:
    """Wait for threads to end; return False after the timeout."""
    for one in expected:
        one.join(TIMEOUT_S)
    return not any(one.is_alive() for one in expected)


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> SweepCounter:
    assert have_ended(sweep_threads())
    return SweepCounter(monkeypatch)


def store_expired_thread(path: Path, clock: Clock) -> None:
    """Store a thread and advance the clock until it has expired."""
    with LmdbSaver(path, sync="off", clock=clock) as saver:
        put(SaverDriver(saver), "1")
    clock.wait(5)


def test_each_store_has_one_daemon_thread(path: Path, clock: Clock, counter: SweepCounter) -> None:
    """It sweeps immediately, and ends with the last saver that has a sweep interval."""
    store_expired_thread(path, clock)
    with LmdbSaver(path, sync="off", clock=clock, ttl=TTL) as one:
        counter.wait()
        assert one.stats().threads == 0
        (running,) = sweep_threads()
        assert running.daemon
        with (
            LmdbSaver(path, sync="off", clock=clock, ttl=OTHER),
            LmdbSaver(path.with_name("other"), sync="off", clock=clock, ttl=TTL),
            LmdbSaver(path, sync="off", clock=clock, ttl={"default_ttl": 5}),
            LmdbSaver(path, sync="off", readonly=True, ttl=TTL),
        ):
            assert len(sweep_threads()) == 2
            (second,) = (each for each in sweep_threads() if each is not running)
        assert have_ended([second])
        assert running.is_alive()
    assert have_ended([running])
    assert not background._sweepers


def test_thread_ends_when_saver_is_garbage_collected(
    path: Path, clock: Clock, counter: SweepCounter
) -> None:
    """The saver was not closed. A new saver starts a new thread."""
    saver: Any = LmdbSaver(path, sync="off", clock=clock, ttl=TTL)
    counter.wait()
    running = sweep_threads()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del saver
        gc.collect()
        assert have_ended(running)
    assert [warning.category for warning in caught] == [ResourceWarning]
    store_expired_thread(path, clock)
    clock.wait(10)
    while counter.runs.acquire(blocking=False):
        pass
    with LmdbSaver(path, sync="off", clock=clock, ttl=TTL) as another:
        counter.wait()
        assert another.stats().threads == 0


def test_copy_of_saver_keeps_thread_running(
    path: Path, clock: Clock, counter: SweepCounter
) -> None:
    """LangGraph copies savers."""
    saver: Any = LmdbSaver(path, sync="off", clock=clock, ttl=TTL)
    counter.wait()
    (running,) = sweep_threads()
    other = copy.copy(saver)
    del saver
    gc.collect()
    assert running.is_alive()
    assert sweep_threads() == [running]
    other.close()
    assert have_ended([running])


def test_store_is_swept_after_reopening(path: Path, clock: Clock, counter: SweepCounter) -> None:
    for _ in range(20):
        store_expired_thread(path, clock)
        clock.wait(10)
        with LmdbSaver(path, sync="off", clock=clock, ttl=TTL) as saver:
            counter.wait()
            assert saver.stats().threads == 0
        while counter.runs.acquire(blocking=False):
            pass
    assert have_ended(sweep_threads())


SETUP = """
import os, sys, threading, gc
from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.operations import background
from tests.contract.driver import SaverDriver, put, put_chain
runs = threading.Semaphore(0)
run_once = background.Sweeper.run_once
def counted(this):
    wait = run_once(this)
    runs.release()
    return wait
background.Sweeper.run_once = counted
soon = {"default_ttl": 1e-9, "sweep_interval_minutes": 1e-9}
saver = LmdbSaver(sys.argv[1], sync="off", ttl=soon)
lenient = LmdbSaver(sys.argv[1], sync="off")
def fill(name, count=1):
    for number in range(count):
        put_chain(SaverDriver(lenient), [f"{i:03}" for i in range(5)], thread=f"{name} {number}")
def wait_until_empty():
    while lenient.stats().threads:
        assert runs.acquire(timeout=60)
"""


def run(path: Path, program: str) -> None:
    """Run a program; assert that it exits with 0 and prints nothing."""
    options = ("-W", "error", "-W", "ignore::ResourceWarning")  # some programs drop their savers
    done = subprocess.run(
        [sys.executable, *options, "-c", SETUP + program, str(path)],
        capture_output=True,
        timeout=2 * TIMEOUT_S,
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
def test_interpreter_exits_quietly_during_sweep(path: Path, end: str) -> None:
    run(path, f"fill('first', 20)\nassert runs.acquire(timeout=60)\n{end}")


def test_forked_child_sweeps_in_its_own_thread(path: Path) -> None:
    """The thread of the child ends when the saver is closed. The parent continues to sweep."""
    program = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
def named():
    return [t for t in threading.enumerate() if t.name == "lmdb-saver-sweep"]
fill("before", 3)
wait_until_empty()
for _ in range(20):
    child = os.fork()
    if not child:
        status = 1
        try:
            runs = threading.Semaphore(0)
            fill("child")
            wait_until_empty()
            (mine,) = named()
            assert runs.acquire(timeout=60)
            saver.close()
            mine.join(60)
            status = int(mine.is_alive())
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
fill("after")
wait_until_empty()
assert runs.acquire(timeout=60)
"""
    run(path, program)
