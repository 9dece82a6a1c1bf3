"""Background threads that sweep: when they start, and when they end."""

from __future__ import annotations

import copy
import gc
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.operations import background
from langgraph.checkpoint.lmdb.operations.background import Sweeper
from tests.retention.stores import store_expired_thread

if TYPE_CHECKING:
    from pathlib import Path

    from tests.retention.conftest import Clock

TIMEOUT_S = 60.0
TTL: Any = {"default_ttl": 5, "sweep_interval_minutes": 10}
OTHER: Any = {"keep_last": 1, "sweep_interval_minutes": 10}


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
