"""A demonstration: a task is killed between two steps, and a new process resumes it.

    python -m langgraph.checkpoint.lmdb.snapshots.long_running --num-steps 5 --crash-after 2

The first process runs the steps of a task, saves a snapshot after each, and kills itself with
SIGKILL. The second process resumes after the last snapshot.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from langgraph.checkpoint.lmdb.snapshots.model import StateSnapshot
from langgraph.checkpoint.lmdb.snapshots.store import LmdbSnapshotStore

_MODULE = "langgraph.checkpoint.lmdb.snapshots.long_running"
_TASK = "long-running-task"


class SnapshotStore(Protocol):
    """A store of snapshots, of any kind."""

    def save(self, snapshot: Any) -> None: ...

    def get(self, task_id: str, version: int | None = None) -> Any: ...


def run_steps(
    store: SnapshotStore, task_id: str, num_steps: int, crash_after_step: int | None = None
) -> Any:
    """Run a task from its first step, and save a snapshot after each step.

    Args:
        store: A store of snapshots.
        task_id: The task.
        num_steps: The steps of the task.
        crash_after_step: The step after which to stop, as if the process had died. None: run all.

    Returns:
        The last snapshot; None if there are no steps.
    """
    last = num_steps if crash_after_step is None else min(num_steps, max(crash_after_step, 1))
    return _run(store, task_id, range(1, last + 1), num_steps, [])


def resume_from_store(store: SnapshotStore, task_id: str, num_steps: int) -> Any:
    """Resume a task after the step of its latest snapshot, and run it to the end.

    Args:
        store: A store of snapshots.
        task_id: The task.
        num_steps: The steps of the task.

    Returns:
        The last snapshot; None if the store has no snapshot of the task.
    """
    latest = store.get(task_id)
    if latest is None:
        return None
    items = latest.data["partial_result"]["items"]
    remaining = range(latest.data["step"] + 1, num_steps + 1)
    return _run(store, task_id, remaining, num_steps, items) or latest


def _run(
    store: SnapshotStore, task_id: str, steps: range, num_steps: int, items: list[str]
) -> StateSnapshot | None:
    snapshot = None
    for step in steps:
        items = [*items, f"result_step_{step}"]
        snapshot = StateSnapshot(
            id=uuid4().hex,
            task_id=task_id,
            version=step,
            data={
                "step": step,
                "progress_pct": step * 100 // num_steps,
                "partial_result": {"items": items, "last_step": step},
                "completed": step == num_steps,
            },
            checkpoint=True,
            created_at=datetime.now(timezone.utc),
        )
        store.save(snapshot)
        print(f"process {os.getpid()}: saved step {step} of {num_steps}", flush=True)
    return snapshot


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; return the exit status.

    Args:
        arguments: The arguments of the command. None: the arguments of the process.
    """
    options = _parse(arguments)
    if options.role is not None:
        return _work(options)
    if options.store is not None:
        return _supervise(options, options.store)
    with tempfile.TemporaryDirectory() as folder:
        return _supervise(options, str(Path(folder, "store")))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m {_MODULE}",
        description="Run a task whose process is killed, and resume it in a new process.",
    )
    parser.add_argument(
        "--num-steps", type=_positive, default=5, metavar="N", help="steps of the task (5)"
    )
    parser.add_argument(
        "--crash-after",
        type=int,
        default=2,
        metavar="N",
        help="step after which the process is killed (2); 0: none",
    )
    parser.add_argument("--store", metavar="PATH", help="folder of the store, by default a new one")
    parser.add_argument("--task-id", default=_TASK, help=f"the task ({_TASK})")
    parser.add_argument("--role", choices=("run", "resume"), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {number}")
    return number


def _supervise(options: argparse.Namespace, store: str) -> int:
    """Start the process that dies, and the one that resumes; return 0 if the task is complete."""
    dies = 0 < options.crash_after < options.num_steps
    status = _start(options, store, "run")
    if status != (-signal.SIGKILL if dies else 0):
        print(f"the first process ended with status {status}", file=sys.stderr)
        return 1
    if dies:
        print(f"the process was killed by SIGKILL after step {options.crash_after}", flush=True)
        status = _start(options, store, "resume")
    with LmdbSnapshotStore(store, readonly=True) as snapshots:
        latest = snapshots.get(options.task_id)
    items = latest.data["partial_result"]["items"]
    expected = [f"result_step_{step}" for step in range(1, options.num_steps + 1)]
    if status or not latest.data["completed"] or items != expected:
        print(f"the task is not complete: {latest.data}", file=sys.stderr)
        return 1
    print(f"the task is complete: {options.num_steps} steps, each run once")
    return 0


def _start(options: argparse.Namespace, store: str, role: str) -> int:
    """Run a process to its end; return its status, below 0 for a signal."""
    command = [sys.executable, "-m", _MODULE, "--role", role, "--store", store]
    command += ["--num-steps", str(options.num_steps), "--crash-after", str(options.crash_after)]
    command += ["--task-id", options.task_id]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - our own module


def _work(options: argparse.Namespace) -> int:
    """Run or resume the task in this process."""
    store = LmdbSnapshotStore(options.store)
    if options.role == "resume":
        latest = store.get(options.task_id)
        print(f"process {os.getpid()}: resumes at step {latest.data['step'] + 1}", flush=True)
        resume_from_store(store, options.task_id, options.num_steps)
    else:
        run_steps(store, options.task_id, options.num_steps, options.crash_after or None)
        if 0 < options.crash_after < options.num_steps:
            os.kill(os.getpid(), signal.SIGKILL)
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
