"""What a saver should hold, in plain dicts: the oracle of the model test.

It takes nothing from the code that it judges. Values are what LangGraph's serialiser made of them
at the time of the call.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

ONE_PER_TASK = {"__error__": -1, "__scheduled__": -2, "__interrupt__": -3, "__resume__": -4}

History = tuple[list[tuple[str, str, Any]], list[Any]]
"""Writes, oldest first, and the value that they follow on, if any."""


@dataclass
class Checkpoint:
    """A checkpoint and what was folded into it when its parent went."""

    parent: str | None
    versions: dict[str, Any]
    values: dict[str, Any]
    metadata: dict[str, Any]
    rest: dict[str, Any]
    root: str | None
    """The root checkpoint that a subgraph was called from; metadata may lose a lone surrogate."""
    folded: dict[str, History] = field(default_factory=dict)


@dataclass
class Namespace:
    """Checkpoints by id; writes by checkpoint, then by task and index: path, channel, value."""

    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    writes: dict[str, dict[tuple[str, int], tuple[str, str, Any]]] = field(default_factory=dict)

    def pending(self, checkpoint_id: str) -> list[tuple[str, str, Any]]:
        """Task, channel and value of each write, in the order in which they apply."""
        rows = [
            (path, task, index, channel, value)
            for (task, index), (path, channel, value) in self.writes.get(checkpoint_id, {}).items()
        ]
        rows.sort(key=lambda row: row[:3])
        return [(task, channel, value) for _, task, _, channel, value in rows]

    def value_at(self, channel: str, version: Any) -> list[Any]:
        """The value that any checkpoint stored for a version, in a list; or an empty one."""
        for checkpoint in self.checkpoints.values():
            if checkpoint.versions.get(channel) == version and channel in checkpoint.values:
                return [checkpoint.values[channel]]
        return []

    def history(self, checkpoint_id: str, channel: str) -> History:
        """What a channel of a checkpoint is rebuilt from."""
        writes: list[tuple[str, str, Any]] = []
        seen = {checkpoint_id}
        here = self.checkpoints[checkpoint_id]
        while channel not in here.folded:
            parent = here.parent
            if parent is None or parent in seen or parent not in self.checkpoints:
                return writes, []
            seen.add(parent)
            here = self.checkpoints[parent]
            writes = [row for row in self.pending(parent) if row[1] == channel] + writes
            if channel in here.values:
                return writes, [here.values[channel]]
        earlier, seed = here.folded[channel]
        return earlier + writes, seed

    def drop(self, gone: set[str]) -> None:
        """Delete checkpoints with their writes; a child that stays keeps its past to itself."""
        orphans = [
            name
            for name, checkpoint in self.checkpoints.items()
            if name not in gone and checkpoint.parent in gone & set(self.checkpoints)
        ]
        pasts = {name: self._past(name) for name in orphans}
        for name, past in pasts.items():
            self.checkpoints[name].folded = past
            self.checkpoints[name].parent = None
        for name in gone:
            if self.checkpoints.pop(name, None) is not None:
                self.writes.pop(name, None)

    def _past(self, name: str) -> dict[str, History]:
        checkpoint = self.checkpoints[name]
        channels = {c for other in self.checkpoints.values() for c in other.values}
        channels |= {c for other in self.checkpoints.values() for c in other.folded}
        channels |= {c for rows in self.writes.values() for _, c, _ in rows.values()}
        past = {
            channel: self.history(name, channel)
            for channel in channels
            if channel not in checkpoint.values and not channel.startswith(("__", "branch:"))
        }
        return {channel: found for channel, found in past.items() if found[0] or found[1]}


class Model:
    """Threads and their namespaces."""

    def __init__(self) -> None:
        self.threads: dict[str, dict[str, Namespace]] = {}

    def namespace(self, thread: str, name: str) -> Namespace | None:
        """A namespace, if it exists."""
        return self.threads.get(thread, {}).get(name)

    def latest(self, thread: str, name: str) -> str | None:
        """The greatest checkpoint id of a namespace."""
        found = self.namespace(thread, name)
        return max(found.checkpoints, default=None) if found else None

    def _open(self, thread: str, name: str) -> Namespace:
        return self.threads.setdefault(thread, {}).setdefault(name, Namespace())

    def put(
        self,
        thread: str,
        name: str,
        checkpoint_id: str,
        checkpoint: Checkpoint,
        given: dict[str, Any],
        new: set[str],
    ) -> None:
        """Store a checkpoint whose values are not known yet."""
        namespace = self._open(thread, name)
        for channel, version in checkpoint.versions.items():
            if channel in new:
                found = [given[channel]] if channel in given else []
            else:
                found = namespace.value_at(channel, version)
                found = found or [given[channel]] if channel in given else found
            if found:
                checkpoint.values[channel] = found[0]
        namespace.checkpoints[checkpoint_id] = checkpoint

    def put_writes(
        self,
        thread: str,
        name: str,
        checkpoint_id: str,
        task: tuple[str, str],
        writes: list[tuple[str, Any]],
    ) -> None:
        """Store pending writes of a task, given with its path."""
        if not writes:
            return
        rows = self._open(thread, name).writes.setdefault(checkpoint_id, {})
        for index, (channel, value) in enumerate(writes):
            if channel in ONE_PER_TASK:
                rows[task[0], ONE_PER_TASK[channel]] = (task[1], channel, value)
            else:
                rows.setdefault((task[0], index), (task[1], channel, value))

    def delete_thread(self, thread: str) -> None:
        """Delete all of a thread."""
        self.threads.pop(thread, None)

    def delete_for_runs(self, run_ids: list[str]) -> None:
        """Delete the checkpoints of runs, in all threads."""
        for thread, namespaces in list(self.threads.items()):
            touched = False
            for namespace in namespaces.values():
                gone = {
                    name
                    for name, checkpoint in namespace.checkpoints.items()
                    if str(checkpoint.metadata.get("run_id", "")) in run_ids
                }
                namespace.drop(gone)
                touched = touched or bool(gone)
            if touched:
                self._settle(thread)

    def prune(self, thread: str, keep: int) -> None:
        """Keep the latest checkpoints of each namespace, and the calls that these started."""
        namespaces = self.threads.get(thread, {})
        roots = sorted(namespaces[""].checkpoints) if "" in namespaces else []
        roots_gone = set(roots[:-keep])
        for name, namespace in namespaces.items():
            ids = sorted(namespace.checkpoints)
            gone = set(ids[:-keep])
            if ids and ":" in name and namespace.checkpoints[ids[-1]].root in roots_gone:
                gone = set(ids)
            namespace.drop(gone)
        self._settle(thread)

    def _settle(self, thread: str) -> None:
        namespaces = self.threads.get(thread, {})
        for name, namespace in list(namespaces.items()):
            if not namespace.checkpoints and not any(namespace.writes.values()):
                del namespaces[name]
        if not namespaces:
            self.threads.pop(thread, None)

    def has_checkpoints(self, thread: str) -> bool:
        """Whether anything of a thread can be seen."""
        return any(n.checkpoints for n in self.threads.get(thread, {}).values())

    def copy_thread(self, source: str, target: str) -> None:
        """Copy all of a thread to a new one."""
        if source in self.threads and source != target:
            self.threads[target] = copy.deepcopy(self.threads[source])

    def listed(self, threads: list[str], name: str | None) -> list[tuple[str, str, str]]:
        """Checkpoint id, thread and namespace of all checkpoints, newest first."""
        return sorted(
            (
                (checkpoint_id, thread, of)
                for thread in threads
                for of, namespace in self.threads.get(thread, {}).items()
                if name is None or of == name
                for checkpoint_id in namespace.checkpoints
            ),
            key=lambda row: row[0],
            reverse=True,
        )
