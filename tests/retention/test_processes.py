"""Sweeps while other processes write, and sweeps in a process that is killed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.contract.driver import SaverDriver, config, put, put_chain, values
from tests.engine import reachability
from tests.retention.stores import contents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 120.0
START = """
import sys
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.engine import prune, sweep
from tests.contract.driver import SaverDriver, config, put
"""
WRITES = (
    START
    + """
name = sys.argv[2]
with LmdbSaver(sys.argv[1], sync="off") as saver:
    print("ready", flush=True)
    sys.stdin.readline()
    driver, parent, log, seen = SaverDriver(saver), None, [], 0
    for number in range(int(sys.argv[3])):
        log.append(f"{name} {number} " * 20)
        id = f"{number:05}"
        put(driver, id, {"log": list(log)}, thread=name, parent=parent)
        at = config(name, id=id)
        driver.put_writes(at, [("x", log[-1]), ("y", [log])], "task")
        found = driver.get_tuple(at)
        if found is not None:
            seen += 1
            assert found.checkpoint["channel_values"] == {"log": log}
            assert found.pending_writes in ([], [("task", "x", log[-1]), ("task", "y", [log])])
        parent = id
    print(seen, flush=True)
"""
)
SWEEPS = (
    START
    + """
prune.PURGE_BATCH = sweep.SWEEP_BATCH = 3
with LmdbSaver(sys.argv[1], sync="off", ttl={"default_ttl": 1}, clock=lambda: 1000.0) as saver:
    print("ready", flush=True)
    print(saver.sweep().threads, flush=True)
"""
)


@contextmanager
def process(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        try:
            assert started.stdout.readline() == "ready\n"
            yield started
        finally:
            if started.poll() is None:
                started.kill()


@pytest.mark.parametrize(
    "steps", [40, pytest.param(1000, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_sweep_while_processes_write_keeps_store_consistent(path: Path, steps: int) -> None:
    """A writer reads its own checkpoints completely or not at all."""
    ttl: Any = {"default_ttl": 1e-9}
    with (
        LmdbSaver(path, sync="off", ttl=ttl) as strict,
        process(WRITES, path, "one", steps) as one,
        process(WRITES, path, "two", steps) as two,
    ):
        for writer in (one, two):
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
        swept = 0
        while one.poll() is None or two.poll() is None:
            swept += strict.sweep().checkpoints
        assert (one.returncode, two.returncode) == (0, 0)
        reachability.check(strict._kv)
        swept += strict.sweep(now=time.time() + 60).checkpoints
        assert swept >= 2
        assert {*contents(strict._kv)} <= {b"\0format", b"\0next-thread", b"\0counts"}


@pytest.mark.parametrize(
    "kills", [4, pytest.param(60, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_sweep_after_sigkill_finishes_the_work(path: Path, kills: int) -> None:
    """Threads that have not expired are unchanged after each kill."""
    chooser = random.Random(7)
    expired = [f"old {number}" for number in range(60)]
    with LmdbSaver(path, sync="off", clock=lambda: 0.0) as saver:
        driver = SaverDriver(saver)
        for name in expired:
            put_chain(driver, [f"{number:02}" for number in range(8)], thread=name)
        for number in range(3):
            saver.copy_thread(expired[number * 7], f"kept {number}")
            saver.set_ttl(f"kept {number}", None)
    killed = 0
    for kill in range(kills):
        with process(SWEEPS, path) as sweeper:
            try:
                sweeper.wait(chooser.random() / 10)
            except subprocess.TimeoutExpired:
                sweeper.kill()
            killed += sweeper.wait(TIMEOUT_S) < 0
        with LmdbSaver(path, sync="off", clock=lambda: 1.0) as saver:
            reachability.check(saver._kv)
            driver = SaverDriver(saver)
            for number in range(3):
                assert len(driver.list(config(f"kept {number}"))) == 8
                assert values(driver, config(f"kept {number}")) == {"value": "value of 07"}
            put(driver, "99", {"x": "y" * 3000}, thread=f"late {kill}")
    assert killed
    with LmdbSaver(path, sync="off", ttl={"default_ttl": 1}, clock=lambda: 1000.0) as saver:
        saver.sweep()
        reachability.check(saver._kv)
        assert not reachability.tombstones(saver._kv)
        assert {info.thread_id for info in saver.threads()} == {f"kept {n}" for n in range(3)}
        assert saver.stats().checkpoints == 24
