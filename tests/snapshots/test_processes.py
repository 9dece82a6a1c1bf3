"""Several processes and threads on one store, and processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.snapshots import LmdbSnapshotStore
from tests.snapshots.stores import growing, snapshot

ROOT = Path(__file__).parents[2]
SAVER = """
import sys
from langgraph.checkpoint.lmdb.snapshots import LmdbSnapshotStore
from tests.snapshots.stores import growing, snapshot

path, task, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = LmdbSnapshotStore(path)
latest = store.get(task)
first = 1 if latest is None else latest.version + 1
print("open", flush=True)
for version in range(first, last + 1):
    store.save(snapshot(version, growing(version), task))
    print(version, flush=True)
store.close()
"""
"""Saves the next versions of a task, and prints each that is acknowledged."""


def start(path: Path, task: str, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SAVER, str(path), task, str(last)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return process.stdout


def check(path: Path, task: str, least: int) -> int:
    """Assert that all versions of a task are whole; return the number of the latest."""
    with LmdbSaver(path) as saver, LmdbSnapshotStore(saver) as store:
        versions = store.list_versions(task)
        assert versions == [*range(1, len(versions) + 1)]
        assert len(versions) >= least
        for version in versions:
            assert store.get(task, version).data == growing(version)
        report = saver.verify()
        assert report.ok, report.problems
    return len(versions)


@pytest.mark.parametrize("kills", [6, pytest.param(40, marks=pytest.mark.long)])
def test_acknowledged_versions_survive_kills(path: Path, kills: int) -> None:
    random = Random(1)
    known = 0
    for _ in range(kills):
        process = start(path, "task", 10_000)
        at = random.randrange(1, 12)
        try:
            for line in lines(process):
                if line.strip() != "open":
                    known = int(line)
                    at -= 1
                if not at:
                    break
            process.send_signal(signal.SIGKILL)
            rest = [line for line in lines(process) if line.endswith("\n")]
            known = max([known, *map(int, rest)])
        finally:
            process.kill()
            process.communicate()
        known = check(path, "task", known)


def test_processes_save_different_tasks_and_read_one_another(path: Path) -> None:
    processes = [start(path, task, 25) for task in ("a", "b")]
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert out.split()[-1] == "25"
    assert check(path, "a", 25) == check(path, "b", 25) == 25


def test_processes_that_save_the_same_task_leave_whole_versions(path: Path) -> None:
    """The later save of a version replaces the earlier one; both have the same data."""
    processes = [start(path, "task", 25) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert check(path, "task", 25) == 25


def test_open_store_sees_what_another_process_saves_and_deletes(path: Path) -> None:
    with LmdbSnapshotStore(path) as store:
        store.save(snapshot(1, growing(1)))
        assert store.get("task").version == 1
        process = start(path, "task", 4)
        process.communicate(timeout=60)
        assert store.get("task").data == growing(4)
        script = (
            "import sys; from langgraph.checkpoint.lmdb.snapshots import LmdbSnapshotStore\n"
            "with LmdbSnapshotStore(sys.argv[1]) as store: assert store.delete('task', 4)"
        )
        subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=True)
        assert store.get("task").data == growing(3)
        store.save(snapshot(4, growing(4)))
    assert check(path, "task", 4) == 4


def test_forked_child_uses_the_store_of_its_parent(path: Path) -> None:
    with LmdbSnapshotStore(path, sync="off") as store:
        store.save(snapshot(1, growing(1)))
        child = os.fork()
        if not child:
            try:
                store.save(snapshot(2, growing(2)))
                os._exit(0 if store.get("task").data == growing(2) else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert store.get("task").data == growing(2)


@pytest.mark.parametrize("tasks", [1, 4])
def test_threads_share_a_store(path: Path, tasks: int) -> None:
    def work(store: LmdbSnapshotStore, number: int) -> None:
        for version in range(number, 41, 4):
            task = f"task-{number % tasks}"
            store.save(snapshot(version, growing(version, 200), task))
            assert store.get(task, version).data == growing(version, 200)
            found = store.get(task)
            assert found.data == growing(found.version, 200)
            assert version in store.list_versions(task)

    with LmdbSnapshotStore(path, sync="off") as store:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(partial(work, store), range(1, 5)))
        saved = [version for t in range(tasks) for version in store.list_versions(f"task-{t}")]
        assert sorted(saved) == [*range(1, 41)]
    with LmdbSaver(path, sync="off") as saver:
        assert saver.verify().ok
