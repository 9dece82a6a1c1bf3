"""The process of one day: `python -m benches.multi_day.day FOLDER DAY [HELD...]`."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.types import Command

from benches.demo.effects import Workspace
from benches.multi_day.project import PROJECTS, build
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.workflows import DurableWorkflow, generate_thread_id, recover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def plan(saver: LmdbSaver, workspace: Workspace) -> None:
    """Plan each project. The run stops after the plan."""
    graph = build(workspace).compile(interrupt_after=["plan"])
    workflow = DurableWorkflow(graph, saver)
    _in_parallel(
        lambda project: workflow.execute(generate_thread_id(project), {"project": project}),
        PROJECTS,
    )


def execute(saver: LmdbSaver, workspace: Workspace) -> None:
    """Work on each project until it asks a person."""
    workflow = DurableWorkflow(build(workspace), saver)
    _in_parallel(workflow.resume, thread_ids(saver).values())


def resume(saver: LmdbSaver, workspace: Workspace) -> None:
    """Resume the projects that a crash interrupted."""
    recover(saver, build(workspace), min_age_minutes=0, max_workers=len(PROJECTS))


def approve(saver: LmdbSaver, workspace: Workspace) -> None:
    """Answer the question of each project."""
    workflow = DurableWorkflow(build(workspace), saver)
    _in_parallel(
        lambda thread_id: workflow.resume(thread_id, Command(resume="yes")),
        thread_ids(saver).values(),
    )


DAYS = {day.__name__: day for day in (plan, execute, resume, approve)}


def thread_ids(saver: LmdbSaver) -> dict[str, str]:
    """Return the thread of each project."""
    return {
        thread.thread_id.partition("-")[0]: thread.thread_id
        for project in PROJECTS
        for thread in saver.threads(prefix=f"{project}-")
    }


def _in_parallel(function: Callable[[str], Any], items: Iterable[str]) -> None:
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(function, items):
            pass


if __name__ == "__main__":
    workspace = Workspace(Path(sys.argv[1]), sys.argv[3:])
    with LmdbSaver(workspace.folder / "store") as saver:
        DAYS[sys.argv[2]](saver, workspace)
