"""The days of the example, one function per day."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from benches.demo.console import ClaimError
from benches.demo.effects import Workspace
from benches.demo.evidence import finished, per_process
from benches.multi_day.day import thread_ids
from benches.multi_day.project import PROJECTS, TASKS, build
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.workflows import (
    cleanup_old_checkpoints,
    find_failed_workflows,
    get_checkpoint_status,
    get_progress,
    monitor_workflows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benches.demo.console import Narrator

HELD = ("website write", "handbook check")
"""Tasks during which the process of the second day is killed."""
_REPOSITORY = Path(__file__).parents[2]
_TIMEOUT_SECONDS = 60.0
_SECONDS_PER_DAY = 24 * 3600


def tell(out: Narrator, folder: Path) -> None:
    """Run all days in `folder`.

    Raises:
        ClaimError: A claim does not hold.
    """
    workspace = Workspace(folder)
    with LmdbSaver(folder / "store") as saver:
        _plan(out, workspace, saver)
        killed = _execute_and_crash(out, workspace, saver)
        _resume(out, workspace, saver, killed)
        _approve(out, workspace, saver)
        _clean_up(out, saver)


def _plan(out: Narrator, workspace: Workspace, saver: LmdbSaver) -> None:
    out.step(
        "Monday: planning",
        "A process plans three projects in parallel. They stop at a static breakpoint, and the\n"
        "process ends. The states in the table are read without the graph, so a breakpoint looks\n"
        "like a crash there.",
    )
    _run(workspace, "plan")
    out.show(_table(saver))
    graph = build(workspace).compile(interrupt_after=["plan"])
    statuses = [
        get_checkpoint_status(thread_id, saver, graph=graph)
        for thread_id in thread_ids(saver).values()
    ]
    out.claim(
        f"with the graph, {len(PROJECTS)} projects wait before their first task",
        [(each.state, each.next) for each in statuses if each is not None]
        == [("waiting", ("execute",))] * len(PROJECTS),
    )


def _execute_and_crash(out: Narrator, workspace: Workspace, saver: LmdbSaver) -> int:
    out.step(
        "Tuesday: execution, and a crash",
        "A new process works on the three projects in parallel. Two tasks take long. The process\n"
        "is killed with SIGKILL while it works on them.",
    )
    child = _spawn(workspace, "execute", *HELD)
    try:
        _wait_for(child, saver, {"website": "1/3", "handbook": "2/3", "survey": "3/3"}, workspace)
        out.claim(
            "two projects are running, the third asks its question",
            _states(saver) == {"website": "running", "handbook": "running", "survey": "waiting"},
        )
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    out.show(_table(saver))
    out.claim(
        "the store knows which projects the crash interrupted",
        {status.thread_id for status in find_failed_workflows(saver, min_age_minutes=0)}
        == {thread_ids(saver)[project] for project in ("website", "handbook")},
    )
    out.claim(
        "the handbook is done to 66.7 percent",
        get_progress(saver, thread_ids(saver)["handbook"])["percentage"] == 66.7,
    )
    return child.pid


def _resume(out: Narrator, workspace: Workspace, saver: LmdbSaver, killed: int) -> None:
    out.step(
        "Wednesday: recovery",
        "A new process calls `recover`. It resumes the projects that the crash interrupted, each\n"
        "from its last checkpoint, and leaves the project that waits for a person alone.",
    )
    child = _run(workspace, "resume")
    out.show(_table(saver))
    before, after = (per_process(workspace, pid) for pid in (killed, child))
    done = {task for task, events in before.items() if "end" in events}
    out.claim(f"none of the {len(done)} finished tasks ran again", not done & {*after})
    out.claim(f"the {len(HELD)} unfinished tasks ran again", {*HELD} <= {*after})
    out.claim("each project asks for approval", {*_states(saver).values()} == {"waiting"})


def _approve(out: Narrator, workspace: Workspace, saver: LmdbSaver) -> None:
    out.step(
        "Thursday: review",
        "A person reads the results and approves. A new process stores the answers and publishes.",
    )
    for status in _statuses(saver):
        out.say(f"{status.interrupts[0].value} [bold]yes[/]")
    _run(workspace, "approve")
    out.show(_table(saver))
    out.claim("each project is complete", {*_states(saver).values()} == {"complete"})
    out.claim(
        "over four processes each task finished once",
        finished(workspace)
        == {f"{each} {task}": 1 for each in PROJECTS for task in ("plan", *TASKS, "publish")},
    )
    out.claim(
        "the results are published",
        all((workspace.folder / f"{each}.md").read_text() == ", ".join(TASKS) for each in PROJECTS),
    )


def _clean_up(out: Narrator, saver: LmdbSaver) -> None:
    out.step(
        "A month later: cleanup",
        "The threads of complete projects are deleted 30 days after their last activity.",
    )
    report = monitor_workflows(saver)
    out.show(
        f"{report.completed} completed, the median took {report.duration_p50_seconds:.1f} s,"
        f" {len(report.stuck)} stuck"
    )
    out.claim("today nothing is old enough", cleanup_old_checkpoints(saver) == [])
    deleted = cleanup_old_checkpoints(saver, clock=lambda: time.time() + 31 * _SECONDS_PER_DAY)
    out.claim(
        f"after 31 days {len(PROJECTS)} threads are deleted",
        len(deleted) == len(PROJECTS) and saver.stats().threads == 0,
    )


def _spawn(workspace: Workspace, day: str, *held: str) -> subprocess.Popen[bytes]:
    """Start the process of a day; tasks named in `held` never end."""
    command = [sys.executable, "-m", "benches.multi_day.day", str(workspace.folder), day, *held]
    return subprocess.Popen(command, cwd=_REPOSITORY)


def _run(workspace: Workspace, day: str) -> int:
    """Run a day in a new process and return its process id."""
    child = _spawn(workspace, day)
    try:
        if code := child.wait(_TIMEOUT_SECONDS):
            raise ClaimError(f"the process for {day!r} ends well (it exited with {code})")
    finally:
        child.kill()
    return child.pid


def _wait_for(
    child: subprocess.Popen[bytes],
    saver: LmdbSaver,
    progress: dict[str, str],
    workspace: Workspace,
) -> None:
    """Wait until each project has made progress, and the held tasks have begun."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        begun = {effect.task for effect in workspace.effects() if effect.event == "begin"}
        asks = _states(saver)["survey"] == "waiting"
        if {*HELD} <= begun and asks and _progress(saver) == progress:
            return
        time.sleep(0.02)
    raise ClaimError(f"the projects make progress ({progress})")


def _table(saver: LmdbSaver) -> Table:
    """Return a table of the projects."""
    progress = _progress(saver)
    table = Table("project", "state", "next", "progress", box=None)
    for status in _statuses(saver):
        project = status.thread_id.partition("-")[0]
        table.add_row(project, status.state, ", ".join(status.next), progress[project])
    return table


def _progress(saver: LmdbSaver) -> dict[str, str]:
    return {
        project: get_progress(saver, thread_id)["progress"]
        for project, thread_id in thread_ids(saver).items()
    }


def _states(saver: LmdbSaver) -> dict[str, str]:
    return {each.thread_id.partition("-")[0]: each.state for each in _statuses(saver)}


def _statuses(saver: LmdbSaver) -> Iterator[Any]:
    for thread_id in thread_ids(saver).values():
        yield get_checkpoint_status(thread_id, saver)
