"""The expected content of a store, in plain dicts: the oracle of the model test.

The model uses no code of the package. Its values passed through LangGraph's serializer at the time
of the call.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

ONE_PER_TASK = {"__error__": -1, "__scheduled__": -2, "__interrupt__": -3, "__resume__": -4}

History = tuple[list[tuple[str, str, Any]], list[Any]]
"""Writes, oldest first, and the value before them, if any."""


@dataclass
class Checkpoint:
    """A checkpoint, and the history that was compacted into it."""

    parent: str | None
    versions: dict[str, Any]
    values: dict[str, Any]
    metadata: dict[str, Any]
    rest: dict[str, Any]
    root: str | None
    """Root checkpoint that called the subgraph. Metadata may lose a lone surrogate."""
    stored: int = 0
    """Time of the put in milliseconds, like all times here."""
    compacted: dict[str, History] = field(default_factory=dict)


@dataclass
class Namespace:
    """The checkpoints of a namespace by id, and writes by checkpoint, task and index."""

    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    writes: dict[str, dict[tuple[str, int], tuple[str, str, Any]]] = field(default_factory=dict)

    def pending(self, checkpoint_id: str) -> list[tuple[str, str, Any]]:
        """Return the task, channel and value of each write, in the order of their application."""
        rows = [
            (path, task, index, channel, value)
            for (task, index), (path, channel, value) in self.writes.get(checkpoint_id, {}).items()
        ]
        rows.sort(key=lambda row: row[:3])
        return [(task, channel, value) for _, task, _, channel, value in rows]

    def inherited(self, parent: str | None, channel: str, version: Any) -> list[Any]:
        """Return the value of the nearest ancestor at a version in a list, or an empty list.

        Versions ascend, so ancestors above a lower version are not searched.
        """
        for name in self.chain(parent):
            found = self.checkpoints[name]
            known = found.versions.get(channel)
            if known == version:
                return [found.values[channel]] if channel in found.values else []
            if known is not None and known < version:
                break
        return []

    def history(self, checkpoint_id: str, channel: str) -> History:
        """Return the seed and the writes from which a channel of a checkpoint is rebuilt."""
        writes: list[tuple[str, str, Any]] = []
        seen = {checkpoint_id}
        here = self.checkpoints[checkpoint_id]
        while channel not in here.compacted:
            parent = here.parent
            if parent is None or parent in seen or parent not in self.checkpoints:
                return writes, []
            seen.add(parent)
            here = self.checkpoints[parent]
            writes = [row for row in self.pending(parent) if row[1] == channel] + writes
            if channel in here.values:
                return writes, [here.values[channel]]
        earlier, seed = here.compacted[channel]
        return earlier + writes, seed

    def chain(self, checkpoint_id: str | None) -> list[str]:
        """Return a checkpoint and its stored ancestors; a loop ends the line."""
        found: list[str] = []
        while checkpoint_id in self.checkpoints and checkpoint_id not in found:
            assert checkpoint_id is not None
            found.append(checkpoint_id)
            checkpoint_id = self.checkpoints[checkpoint_id].parent
        return found

    def children(self, checkpoint_id: str) -> list[str]:
        """Return the children of a checkpoint, newest first."""
        found = (i for i, one in self.checkpoints.items() if one.parent == checkpoint_id)
        return sorted(found, reverse=True)

    def branches(self) -> list[tuple[str, str | None, int, int]]:
        """Return the tip, fork point, length and depth of each branch. There must be no loops."""
        rows: list[tuple[str, str | None, int, int]] = []
        for tip in sorted(self.checkpoints, reverse=True):
            if self.children(tip):
                continue
            line = self.chain(tip)
            shared = [at for at in range(1, len(line)) if len(self.children(line[at])) > 1]
            length = shared[0] if shared else len(line)
            rows.append((tip, line[length] if shared else None, length, len(line)))
        return rows

    def drop(self, dropped: set[str]) -> None:
        """Delete checkpoints with their writes; a remaining child keeps its history."""
        orphans = [
            name
            for name, checkpoint in self.checkpoints.items()
            if name not in dropped and checkpoint.parent in dropped & set(self.checkpoints)
        ]
        pasts = {name: self._past(name) for name in orphans}
        for name, past in pasts.items():
            self.checkpoints[name].compacted = past
            self.checkpoints[name].parent = None
        for name in dropped:
            if self.checkpoints.pop(name, None) is not None:
                self.writes.pop(name, None)

    def _past(self, name: str) -> dict[str, History]:
        checkpoint = self.checkpoints[name]
        channels = {c for other in self.checkpoints.values() for c in other.values}
        channels |= {c for other in self.checkpoints.values() for c in other.compacted}
        channels |= {c for rows in self.writes.values() for _, c, _ in rows.values()}
        past = {
            channel: self.history(name, channel)
            for channel in channels
            if channel not in checkpoint.values and not channel.startswith(("__", "branch:"))
        }
        return {channel: found for channel, found in past.items() if found[0] or found[1]}


@dataclass
class Age:
    """The times of a thread: creation, last activity, and its own TTL, if any."""

    created: int
    updated: int
    own: bool = False
    ttl: int | None = None


class Model:
    """The threads and namespaces of a store, and their retention.

    Args:
        ttl: Time from a thread's last activity until it expires. None: it never expires.
        deletes: Whether an expired thread is deleted as a whole.
        keep_last: Number of checkpoints of a namespace that a sweep keeps.
        max_age: Age up to which a sweep keeps a checkpoint that is not the latest.
    """

    def __init__(
        self,
        ttl: int | None = None,
        deletes: bool = True,
        keep_last: int | None = None,
        max_age: int | None = None,
    ) -> None:
        self.threads: dict[str, dict[str, Namespace]] = {}
        self.hidden: dict[str, dict[str, Namespace]] = {}
        """Return the expired threads that were not swept."""
        self.ages: dict[str, Age] = {}
        self.now = 1000
        self.ttl, self.deletes, self.keep_last, self.max_age = ttl, deletes, keep_last, max_age

    def namespace(self, thread: str, name: str) -> Namespace | None:
        """Return a namespace, or None."""
        return self.threads.get(thread, {}).get(name)

    def latest(self, thread: str, name: str) -> str | None:
        """Return the greatest checkpoint id of a namespace."""
        found = self.namespace(thread, name)
        return max(found.checkpoints, default=None) if found else None

    def latest_root(self, thread: str) -> str | None:
        """Return the greatest id of the root namespace, also of an expired thread."""
        found = self._stored(thread).get("")
        return max(found.checkpoints, default=None) if found else None

    def expires(self, thread: str) -> int | None:
        """Return the time at which a thread expires; None: never."""
        age = self.ages[thread]
        ttl = age.ttl if age.own else self.ttl
        return None if ttl is None else age.updated + ttl

    def _expired(self, thread: str, now: int) -> bool:
        expires = self.expires(thread)
        return expires is not None and expires <= now

    def expire(self) -> None:
        """Hide expired threads."""
        for thread in [*self.threads]:
            if self.deletes and self._expired(thread, self.now):
                self.hidden[thread] = self.threads.pop(thread)

    def _stored(self, thread: str) -> dict[str, Namespace]:
        return self.threads.get(thread) or self.hidden.get(thread) or {}

    def _remove(self, thread: str) -> None:
        self.threads.pop(thread, None)
        self.hidden.pop(thread, None)
        self.ages.pop(thread, None)

    def _open(self, thread: str, name: str, follows: str | None, root: str | None) -> Namespace:
        """Return a namespace of a thread, for a write. An expired thread is revived if it has the
        checkpoint that the write follows; otherwise it is created again.
        """
        old = self.hidden.get(thread)
        if old is not None:
            if follows in old.get(name, Namespace()).checkpoints or (
                root in old.get("", Namespace()).checkpoints
            ):
                self.threads[thread] = self.hidden.pop(thread)
            else:
                self._remove(thread)
        self.ages.setdefault(thread, Age(self.now, self.now)).updated = self.now
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
        """Store a checkpoint without its values."""
        namespace = self._open(thread, name, checkpoint.parent, checkpoint.root)
        checkpoint.stored = self.now
        for channel, version in checkpoint.versions.items():
            found = [given[channel]] if channel in given else []
            if channel not in given and channel not in new:
                found = namespace.inherited(checkpoint.parent, channel, version)
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
        """Store pending writes of a task, with its path."""
        if not writes:
            return
        rows = self._open(thread, name, checkpoint_id, None).writes.setdefault(checkpoint_id, {})
        for index, (channel, value) in enumerate(writes):
            if channel in ONE_PER_TASK:
                rows[task[0], ONE_PER_TASK[channel]] = (task[1], channel, value)
            else:
                rows.setdefault((task[0], index), (task[1], channel, value))

    def read(self, thread: str) -> None:
        """Count a read of the thread as activity, at most once per hundredth of its TTL."""
        expires, age = self.expires(thread), self.ages[thread]
        if expires is not None and (self.now - age.updated) * 100 >= expires - age.updated:
            age.updated = self.now

    def delete_thread(self, thread: str) -> None:
        """Delete a thread."""
        self._remove(thread)

    def delete_for_runs(self, run_ids: list[str]) -> None:
        """Delete the checkpoints of runs, in all threads."""
        for thread, namespaces in [*self.threads.items(), *self.hidden.items()]:
            touched = False
            for namespace in namespaces.values():
                dropped = {
                    name
                    for name, checkpoint in namespace.checkpoints.items()
                    if str(checkpoint.metadata.get("run_id", "")) in run_ids
                }
                namespace.drop(dropped)
                touched = touched or bool(dropped)
            if touched:
                self._settle(thread)

    def prune(self, thread: str, keep: int | None, since: int | None = None) -> None:
        """Keep the latest checkpoints of each namespace, and the calls that they started.

        Args:
            keep: Number of checkpoints to keep. None: all.
            since: Time before which checkpoints are deleted, except the latest.
        """
        namespaces = self._stored(thread)
        dropped = {
            name: self._old(namespace, keep, since) for name, namespace in namespaces.items()
        }
        for name, namespace in namespaces.items():
            ids = sorted(namespace.checkpoints)
            if ids and ":" in name and namespace.checkpoints[ids[-1]].root in dropped.get("", ()):
                dropped[name] = set(ids)
        for name, namespace in namespaces.items():
            namespace.drop(dropped[name])
        if any(dropped.values()):
            self._settle(thread)

    def _old(self, namespace: Namespace, keep: int | None, since: int | None) -> set[str]:
        ids = sorted(namespace.checkpoints, reverse=True)
        old = set() if keep is None else set(ids[keep:])
        if since is not None:
            old |= {i for i in ids[1:] if namespace.checkpoints[i].stored < since}
        return old

    def sweep(self, thread: str, now: int) -> None:
        """Apply the retention of a thread at a given time."""
        if thread not in self.ages:
            return
        if self._expired(thread, now):
            if self.deletes or not any(n.checkpoints for n in self._stored(thread).values()):
                self._remove(thread)
            else:
                self.prune(thread, 1)
        elif self.keep_last is not None or self.max_age is not None:
            since = None if self.max_age is None else now - self.max_age
            self.prune(thread, self.keep_last, since)

    def _settle(self, thread: str) -> None:
        namespaces = self._stored(thread)
        for name, namespace in list(namespaces.items()):
            if not namespace.checkpoints and not any(namespace.writes.values()):
                del namespaces[name]
        if not namespaces:
            self._remove(thread)

    def has_checkpoints(self, thread: str) -> bool:
        """Return True if any part of the thread is visible."""
        return any(n.checkpoints for n in self.threads.get(thread, {}).values())

    def copy_thread(self, source: str, target: str) -> None:
        """Copy a thread to a new one."""
        if source in self.threads and source != target:
            self._new(source, target, copy.deepcopy(self.threads[source]))

    def fork(self, source: str, checkpoint_id: str, target: str) -> None:
        """Create a thread from a checkpoint of the root namespace, its ancestors, and the
        checkpoints of subgraphs that they called.
        """
        namespaces = self.threads[source]
        roots = set(namespaces[""].chain(checkpoint_id))
        found: dict[str, Namespace] = {}
        for name, namespace in namespaces.items():
            ids = roots
            if name:
                called = [i for i, one in namespace.checkpoints.items() if one.root in roots]
                ids = {i for one in called for i in namespace.chain(one)}
            if ids:
                found[name] = Namespace(
                    {i: copy.deepcopy(one) for i, one in namespace.checkpoints.items() if i in ids},
                    {i: copy.deepcopy(one) for i, one in namespace.writes.items() if i in ids},
                )
        self._new(source, target, found)

    def _new(self, source: str, target: str, namespaces: dict[str, Namespace]) -> None:
        self._remove(target)
        old = self.ages[source]
        self.ages[target] = Age(self.now, self.now, old.own, old.ttl)
        self.threads[target] = namespaces

    def counts(self, thread: str) -> tuple[int, int]:
        """Return the numbers of checkpoints and pending writes of a thread, hidden or not."""
        namespaces = self._stored(thread).values()
        writes = sum(len(rows) for n in namespaces for rows in n.writes.values())
        return sum(len(n.checkpoints) for n in namespaces), writes

    def totals(self) -> tuple[int, int, int]:
        """Return the numbers of threads, checkpoints and pending writes, hidden ones included."""
        rows = [self.counts(thread) for thread in self.ages]
        return (
            sum(1 for checkpoints, _ in rows if checkpoints),
            sum(checkpoints for checkpoints, _ in rows),
            sum(writes for _, writes in rows),
        )

    def newest_threads(self) -> list[str]:
        """Return the threads with checkpoints, the most recently active first."""
        found = [thread for thread in self.threads if self.has_checkpoints(thread)]
        return sorted(found, key=lambda thread: (-self.ages[thread].updated, thread))

    def listed(self, threads: list[str], name: str | None) -> list[tuple[str, str, str]]:
        """Return the checkpoint id, thread and namespace of all checkpoints, newest first."""
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
