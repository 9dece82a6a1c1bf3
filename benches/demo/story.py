"""The steps of the demo, one function per step."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.sqlite import SqliteSaver
from rich.markdown import Markdown
from rich.panel import Panel
from rich.table import Table

from benches.demo import agent
from benches.demo.effects import Workspace
from benches.demo.evidence import (
    checkpoint_id,
    count_stored,
    disk,
    effects_table,
    finished,
    history_table,
    history_tree,
    per_process,
)
from benches.demo.model import PACKAGES
from benches.demo.processes import run, spawn, wait_for_writes
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.snapshots import LmdbSnapshotStore

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from langgraph.graph.state import CompiledStateGraph

    from benches.demo.console import Narrator

HELD = ("survey http", "survey logging", "survey xml")


def tell(out: Narrator, folder: Path) -> None:
    """Run all steps in `folder`.

    Raises:
        ClaimError: A claim does not hold.
    """
    workspace = Workspace(folder)
    with LmdbSaver(folder / "store") as saver:
        graph = agent.build(saver, workspace)
        killed = _start_and_kill(out, workspace, graph)
        _resume(out, workspace, graph, killed)
        _answer(out, workspace, graph)
        _walk_history(out, graph)
        _branch(out, workspace, graph)
        held = count_stored(saver)
    _compare(out, folder, held)
    _task(out, folder / "tasks")


def _start_and_kill(out: Narrator, workspace: Workspace, graph: CompiledStateGraph[Any]) -> int:
    out.step(
        "An agent works, and is killed",
        "A separate process runs an agent that surveys Python's standard library: one tool call\n"
        f"for each of {PACKAGES} packages, in parallel. {len(HELD)} of the calls hang. This process"
        " opens the same store and\nwatches. When the others are stored, it kills the agent with"
        " SIGKILL, which cannot be caught.",
    )
    child = spawn(workspace, "start", *HELD)
    try:
        stored = wait_for_writes(graph, workspace, child, PACKAGES - len(HELD))
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    out.show(effects_table(workspace, {child.pid: "killed"}))
    effects = per_process(workspace, child.pid)
    out.claim(f"process {child.pid} died of SIGKILL", child.returncode == -signal.SIGKILL)
    out.claim(
        f"{stored} parallel tasks had finished, {len(HELD)} were still at work",
        stored == PACKAGES - len(HELD)
        and {task for task, events in effects.items() if "end" not in events} == set(HELD),
    )
    snapshot = graph.get_state(agent.CONFIG)
    waiting = [task for task in snapshot.tasks if task.result is None]
    out.claim(
        f"the store knows: {len(waiting)} of {len(snapshot.tasks)} tasks are left to do",
        len(waiting) == len(HELD) and len(snapshot.tasks) == PACKAGES,
    )
    return child.pid


def _resume(
    out: Narrator, workspace: Workspace, graph: CompiledStateGraph[Any], killed: int
) -> None:
    out.step(
        "A new process resumes",
        "`graph.invoke(None, config)` in a fresh process. Each finished task is in the store as a\n"
        "pending write of its checkpoint, so only the unfinished ones may run. The log shows what\n"
        "ran: it is a plain file that the tools write, independent of the store.",
    )
    child = run(workspace, "resume")
    out.show(effects_table(workspace, {killed: "killed", child: "resumed"}))
    before, after = (per_process(workspace, pid) for pid in (killed, child))
    kept = {task for task, events in before.items() if "end" in events}
    out.claim(f"none of the {len(kept)} finished tasks ran again", not kept & set(after))
    out.claim(f"the {len(HELD)} unfinished ones did", set(HELD) <= set(after))
    snapshot = graph.get_state(agent.CONFIG)
    out.claim(
        "the agent reached its question, inside a subgraph, and the process ended there",
        snapshot.next == ("editor",) and len(snapshot.interrupts) == 1,
    )


def _answer(out: Narrator, workspace: Workspace, graph: CompiledStateGraph[Any]) -> None:
    out.step(
        "A human approves",
        "No process is waiting: the question is in the store. It may be answered in an hour or in\n"
        'a year. Here a third process answers it: `graph.invoke(Command(resume="yes"), config)`.',
    )
    question = graph.get_state(agent.CONFIG).interrupts[0].value
    out.show(Panel(Markdown(question["report"]), title=question["question"], title_align="left"))
    child = run(workspace, "answer")
    out.say("[bold]> yes[/]")
    done = set(per_process(workspace, child))
    out.claim(
        f"process {child} did nothing but publish: the subgraph's work was kept",
        done == {"publish"},
    )
    published = workspace.folder / "functions.md"
    out.claim(
        f"{published.name} is the report that was approved",
        published.read_text("utf-8") == question["report"],
    )
    twice = [task for task, count in finished(workspace).items() if count > 1]
    out.claim("over three processes no task finished twice", not twice)


def _walk_history(out: Narrator, graph: CompiledStateGraph[Any]) -> None:
    out.step(
        "Its history",
        "Every superstep has a checkpoint. The interrupted superstep has one, like any other.",
    )
    history = list(graph.get_state_history(agent.CONFIG))
    out.show(history_table(history))
    steps = [(snapshot.metadata or {}).get("step") for snapshot in reversed(history)]
    out.claim("one checkpoint for each step, none missing", steps == [*range(-1, len(steps) - 1)])
    parents = [snapshot.parent_config for snapshot in history[:-1]]
    out.claim(
        "each names the one before it as its parent",
        [checkpoint_id(parent) for parent in parents]
        == [checkpoint_id(snapshot.config) for snapshot in history[1:]],
    )


def _branch(out: Narrator, workspace: Workspace, graph: CompiledStateGraph[Any]) -> None:
    out.step(
        "Another branch",
        "Back to the checkpoint after the surveys, with another task: `update_state` there, then\n"
        "`invoke`. The new branch shares all earlier checkpoints. The old branch does not change.",
    )
    tip = graph.get_state(agent.CONFIG)
    before = finished(workspace)
    agent.branch(graph)
    added = finished(workspace) - before
    history = list(graph.get_state_history(agent.CONFIG))
    out.show(history_tree(history))
    out.claim(
        f"it ran {added.total()} tasks of its own, and none of the surveys again",
        not any(task.startswith("survey") for task in added),
    )
    again = graph.get_state(tip.config)
    out.claim("the first branch ends as it did", again.values == tip.values)
    out.show(Panel(Markdown((workspace.folder / "imports.md").read_text("utf-8"))))


def _compare(out: Narrator, folder: Path, held: Counter[str]) -> None:
    out.step(
        "The disk it needs",
        "The same run on SqliteSaver, without the kill: the disk that each store occupies after\n"
        "it is closed.",
    )
    elsewhere = Workspace(folder / "with-sqlite")
    with SqliteSaver.from_conn_string(str(elsewhere.folder / "store.sqlite")) as saver:
        graph = agent.build(saver, elsewhere)
        agent.start(graph)
        agent.answer(graph)
        agent.branch(graph)
        there = count_stored(saver)
    ours = disk(folder / "store")
    theirs = sum(disk(file) for file in elsewhere.folder.glob("store.sqlite*"))
    table = Table("", "LmdbSaver", "SqliteSaver", box=None)
    for what in held:
        table.add_row(what, f"{held[what]:,}", f"{there[what]:,}")
    table.add_row("on disk", f"[bold]{ours / 1000:,.0f} KB", f"[bold]{theirs / 1000:,.0f} KB")
    out.show(table)
    out.claim("both hold the same run", held == there)
    reports = [
        (workspace.folder / name).read_text("utf-8")
        for workspace in (Workspace(folder), elsewhere)
        for name in ("functions.md", "imports.md")
    ]
    out.claim("killed or not, the reports are the same", reports[:2] == reports[2:])
    out.claim(f"LmdbSaver needs 1/{theirs / ours:.0f} of the disk", theirs > 2 * ours)


def _task(out: Narrator, store: Path) -> None:
    steps, crash_after = 5, 2
    module = "langgraph.checkpoint.lmdb.snapshots.long_running"
    arguments = [f"--num-steps={steps}", f"--crash-after={crash_after}"]
    out.step(
        "A task that is not a graph",
        "A snapshot store keeps the versions of any task. A process runs a task of"
        f" {steps} steps and dies\nof SIGKILL after step {crash_after}. A new process resumes it."
        f" This is the command\n`python -m {module}`.",
    )
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--store", str(store)],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in (done.stdout + done.stderr).splitlines():
        out.say(line)
    with LmdbSnapshotStore(store, readonly=True) as snapshots:
        versions = snapshots.list_versions("long-running-task")
        latest = snapshots.get("long-running-task")
    out.claim(
        f"the process died of SIGKILL after step {crash_after}, another resumed at step"
        f" {crash_after + 1}",
        f"killed by SIGKILL after step {crash_after}" in done.stdout
        and f"resumes at step {crash_after + 1}" in done.stdout,
    )
    items = latest.data["partial_result"]["items"]
    out.claim(
        f"the task is complete: {len(items)} steps, each run once",
        done.returncode == 0
        and versions == [*range(1, steps + 1)]
        and items == [f"result_step_{step}" for step in versions],
    )
