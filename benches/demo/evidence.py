"""The evidence of the demo: the log of tasks, the history, and contents and size of stores."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.tree import Tree

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.types import StateSnapshot

    from benches.demo.effects import Workspace


def per_process(workspace: Workspace, pid: int) -> dict[str, set[str]]:
    """Return the events of a process, by task."""
    done: dict[str, set[str]] = {}
    for effect in workspace.effects():
        if effect.pid == pid:
            done.setdefault(effect.task, set()).add(effect.event)
    return done


def finished(workspace: Workspace) -> Counter[str]:
    """Count the ends of each task."""
    return Counter(effect.task for effect in workspace.effects() if effect.event == "end")


def effects_table(workspace: Workspace, processes: dict[int, str]) -> Table:
    """Return a table of tasks and processes."""
    table = Table("task", *(f"process {pid}, {end}" for pid, end in processes.items()), box=None)
    done = {pid: per_process(workspace, pid) for pid in processes}
    for task in dict.fromkeys(task for tasks in done.values() for task in tasks):
        row = (done[pid].get(task, set()) for pid in processes)
        table.add_row(task, *(status(events) for events in row))
    return table


def status(events: set[str]) -> str:
    """Return the status of a task in words."""
    if "end" in events:
        return "[green]done"
    return "[red]cut off" if events else ""


def history_table(history: list[StateSnapshot]) -> Table:
    """Return a table of checkpoints, oldest first."""
    table = Table("step", "next", "messages", "checkpoint", box=None)
    for snapshot in reversed(history):
        nodes = Counter(snapshot.next).items()
        table.add_row(
            str((snapshot.metadata or {}).get("step")),
            ", ".join(f"{count} {node}" if count > 1 else node for node, count in nodes) or "end",
            str(len(snapshot.values.get("messages", ()))),
            checkpoint_id(snapshot.config),
        )
    return table


def history_tree(history: list[StateSnapshot]) -> Tree:
    """Return the checkpoints as a tree with one level per fork."""
    children: dict[str | None, list[StateSnapshot]] = {}
    for snapshot in reversed(history):
        children.setdefault(checkpoint_id(snapshot.parent_config), []).append(snapshot)
    root = Tree("the thread")
    open_ends = [(root, snapshot) for snapshot in children[None]]
    while open_ends:
        branch, snapshot = open_ends.pop(0)
        step, source = ((snapshot.metadata or {}).get(key) for key in ("step", "source"))
        following_node = f"next {snapshot.next[0]}" if snapshot.next else "end"
        branch.add(f"step {step} ({source}): {following_node}")
        following = children.get(checkpoint_id(snapshot.config), [])
        for number, child in enumerate(following):
            fork = len(following) > 1
            open_ends.append((branch.add(f"branch {number + 1}") if fork else branch, child))
    return root


def checkpoint_id(config: Any) -> str | None:
    """Return the checkpoint id of a config, or None."""
    return config["configurable"]["checkpoint_id"] if config else None


def count_stored(saver: BaseCheckpointSaver[Any]) -> Counter[str]:
    """Count the threads, checkpoints and pending writes."""
    stored = list(saver.list(None))
    return Counter(
        {
            "threads": len({one.config["configurable"]["thread_id"] for one in stored}),
            "checkpoints": len(stored),
            "pending writes": sum(len(one.pending_writes or ()) for one in stored),
        }
    )


def disk(path: Path) -> int:
    """Return the allocated bytes of a file, or of the files of a folder."""
    files = [path] if path.is_file() else path.iterdir()
    return sum(file.stat().st_blocks * 512 for file in files)
