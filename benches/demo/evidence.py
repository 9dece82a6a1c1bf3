"""What the demo looks at: the log of the tasks, the history, the stores' contents and size."""

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
    """What a process did, by task."""
    done: dict[str, set[str]] = {}
    for effect in workspace.effects():
        if effect.pid == pid:
            done.setdefault(effect.task, set()).add(effect.event)
    return done


def finished(workspace: Workspace) -> Counter[str]:
    return Counter(effect.task for effect in workspace.effects() if effect.event == "end")


def effects_table(workspace: Workspace, processes: dict[int, str]) -> Table:
    table = Table("task", *(f"process {pid}, {fate}" for pid, fate in processes.items()), box=None)
    done = {pid: per_process(workspace, pid) for pid in processes}
    for task in dict.fromkeys(task for tasks in done.values() for task in tasks):
        row = (done[pid].get(task, set()) for pid in processes)
        table.add_row(task, *(fate(events) for events in row))
    return table


def fate(events: set[str]) -> str:
    if "end" in events:
        return "[green]done"
    return "[red]cut off" if events else ""


def history_table(history: list[StateSnapshot]) -> Table:
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
    """The checkpoints as a tree; a chain stays on one level, a fork opens one per branch."""
    children: dict[str | None, list[StateSnapshot]] = {}
    for snapshot in reversed(history):
        children.setdefault(checkpoint_id(snapshot.parent_config), []).append(snapshot)
    root = Tree("the thread")
    open_ends = [(root, snapshot) for snapshot in children[None]]
    while open_ends:
        branch, snapshot = open_ends.pop(0)
        step, source = ((snapshot.metadata or {}).get(key) for key in ("step", "source"))
        goes_on = f"next {snapshot.next[0]}" if snapshot.next else "end"
        branch.add(f"step {step} ({source}): {goes_on}")
        following = children.get(checkpoint_id(snapshot.config), [])
        for number, child in enumerate(following):
            fork = len(following) > 1
            open_ends.append((branch.add(f"branch {number + 1}") if fork else branch, child))
    return root


def checkpoint_id(config: Any) -> str | None:
    return config["configurable"]["checkpoint_id"] if config else None


def what_is_stored(saver: BaseCheckpointSaver[Any]) -> Counter[str]:
    """The number of threads, checkpoints and pending writes."""
    stored = list(saver.list(None))
    return Counter(
        {
            "threads": len({one.config["configurable"]["thread_id"] for one in stored}),
            "checkpoints": len(stored),
            "pending writes": sum(len(one.pending_writes or ()) for one in stored),
        }
    )


def disk(path: Path) -> int:
    """The bytes that a file, or a folder's files, take on the disk."""
    files = [path] if path.is_file() else path.iterdir()
    return sum(file.stat().st_blocks * 512 for file in files)
