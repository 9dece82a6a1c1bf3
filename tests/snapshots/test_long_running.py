"""The demonstration of a task that is killed and resumed."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.snapshots import LmdbSnapshotStore
from langgraph.checkpoint.lmdb.snapshots.long_running import resume_from_store, run_steps

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "langgraph.checkpoint.lmdb.snapshots.long_running"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


def items(count: int) -> list[str]:
    return [f"result_step_{step}" for step in range(1, count + 1)]


def test_killed_task_is_resumed_by_a_new_process(tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = run("--num-steps", "5", "--crash-after", "2", "--store", str(store))
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.findall(r"^process (\d+): saved step (\d) of 5$", done.stdout, re.MULTILINE)
    assert [int(step) for _, step in steps] == [1, 2, 3, 4, 5]
    first, second = (dict.fromkeys(process for process, _ in steps)).keys()
    assert [process for process, _ in steps] == [first] * 2 + [second] * 3
    assert "the process was killed by SIGKILL after step 2\n" in done.stdout
    assert f"process {second}: resumes at step 3\n" in done.stdout
    with LmdbSnapshotStore(store, readonly=True) as snapshots:
        latest = snapshots.get("long-running-task")
        assert latest.version == 5
        assert latest.data["completed"]
        assert latest.data["partial_result"]["items"] == items(5)
        assert snapshots.list_versions("long-running-task") == [1, 2, 3, 4, 5]
        assert snapshots.get("long-running-task", 2).data["partial_result"]["items"] == items(2)


def test_first_process_really_dies_by_sigkill(tmp_path: Path) -> None:
    arguments = ["--role", "run", "--store", str(tmp_path / "store"), "--crash-after", "3"]
    assert run(*arguments).returncode == -9
    with LmdbSnapshotStore(tmp_path / "store") as store:
        assert store.list_versions("long-running-task") == [1, 2, 3]


@pytest.mark.parametrize("crash_after", ["0", "5", "9"])
def test_without_a_crash_one_process_runs_all_steps(crash_after: str) -> None:
    done = run("--num-steps", "5", "--crash-after", crash_after)
    assert done.returncode == 0, done.stderr
    assert "killed" not in done.stdout
    assert "the task is complete: 5 steps, each run once" in done.stdout


def test_invalid_number_of_steps_is_refused() -> None:
    assert run("--num-steps", "0").returncode == 2


def test_run_steps_stops_after_a_step_and_resume_continues(store: Any) -> None:
    stopped = run_steps(store, "task", 5, crash_after_step=2)
    assert (stopped.version, stopped.data["completed"]) == (2, False)
    assert store.list_versions("task") == [1, 2]
    done = resume_from_store(store, "task", 5)
    assert (done.version, done.data["progress_pct"], done.data["completed"]) == (5, 100, True)
    assert store.get("task") == done
    assert done.data["partial_result"] == {"items": items(5), "last_step": 5}
    assert resume_from_store(store, "task", 5) == done
    assert store.list_versions("task") == [1, 2, 3, 4, 5]


def test_run_steps_without_a_crash_completes(store: Any) -> None:
    assert run_steps(store, "task", 3).data["completed"]
    assert run_steps(store, "empty", 0) is None
    assert resume_from_store(store, "unknown", 3) is None
