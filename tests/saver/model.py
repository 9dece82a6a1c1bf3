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
    stored: int = 0
    """Milliseconds, as all times here."""
    compacted: dict[str, History] = field(default_factory=dict)


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

    def inherited(self, parent: str | None, channel: str, version: Any) -> list[Any]:
        """The value of the nearest ancestor at a version, in a list; empty if it has none.

        Versions ascend, so nothing older is looked for above an ancestor that is at a lower one.
        """
        for name in self.chain(parent):
            found = self.checkpoints[name]
            known = found.versions.get(channel)
            if known == version:
                return [found.values[channel]] if channel in found.values else []
            if known is None or known < version:
                break
        return []

    def history(self, checkpoint_id: str, channel: str) -> History:
        """What a channel of a checkpoint is rebuilt from."""
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
        """A checkpoint, its parent, and so on, as far as they are there; a loop ends it."""
        found: list[str] = []
        while checkpoint_id in self.checkpoints and checkpoint_id not in found:
            assert checkpoint_id is not None
            found.append(checkpoint_id)
            checkpoint_id = self.checkpoints[checkpoint_id].parent
        return found

    def children(self, checkpoint_id: str) -> list[str]:
        """The checkpoints that name this one as their parent, newest first."""
        found = (i for i, one in self.checkpoints.items() if one.parent == checkpoint_id)
        return sorted(found, reverse=True)

    def branches(self) -> list[tuple[str, str | None, int, int]]:
        """Tip, fork point, length and depth of each line; of no use where there are loops."""
        rows: list[tuple[str, str | None, int, int]] = []
        for tip in sorted(self.checkpoints, reverse=True):
            if self.children(tip):
                continue
            line = self.chain(tip)
            shared = [at for at in range(1, len(line)) if len(self.children(line[at])) > 1]
            length = shared[0] if shared else len(line)
            rows.append((tip, line[length] if shared else None, length, len(line)))
        return rows

    def drop(self, gone: set[str]) -> None:
        """Delete checkpoints with their writes; a child that stays keeps its past to itself."""
        orphans = [
            name
            for name, checkpoint in self.checkpoints.items()
            if name not in gone and checkpoint.parent in gone & set(self.checkpoints)
        ]
        pasts = {name: self._past(name) for name in orphans}
        for name, past in pasts.items():
            self.checkpoints[name].compacted = past
            self.checkpoints[name].parent = None
        for name in gone:
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
    """When a thread was made and active last, and its own time to live, if it has one."""

    created: int
    updated: int
    own: bool = False
    ttl: int | None = None


class Model:
    """Threads and their namespaces, and what becomes of them with time.

    Args:
        ttl: From a thread's last activity on; None: for ever.
        deletes: Whether an idle thread goes as a whole.
        keep_last: How many checkpoints of a namespace a sweep keeps.
        max_age: For how long a sweep keeps a checkpoint that is not the latest of its namespace.
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
        """Threads that are past their time and were not swept."""
        self.ages: dict[str, Age] = {}
        self.now = 1000
        self.ttl, self.deletes, self.keep_last, self.max_age = ttl, deletes, keep_last, max_age

    def namespace(self, thread: str, name: str) -> Namespace | None:
        """A namespace, if it exists."""
        return self.threads.get(thread, {}).get(name)

    def latest(self, thread: str, name: str) -> str | None:
        """The greatest checkpoint id of a namespace."""
        found = self.namespace(thread, name)
        return max(found.checkpoints, default=None) if found else None

    def latest_root(self, thread: str) -> str | None:
        """The greatest id of the root namespace, of a run that may outlast the thread's time."""
        found = self._stored(thread).get("")
        return max(found.checkpoints, default=None) if found else None

    def expires(self, thread: str) -> int | None:
        """When a thread is past its time; None: never."""
        age = self.ages[thread]
        ttl = age.ttl if age.own else self.ttl
        return None if ttl is None else age.updated + ttl

    def _expired(self, thread: str, now: int) -> bool:
        expires = self.expires(thread)
        return expires is not None and expires <= now

    def expire(self) -> None:
        """Hide what is past its time."""
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
        """A namespace of a thread that something comes to. A thread that was past its time lives
        on if it has what this follows, or else begins anew."""
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
        """Store a checkpoint whose values are not known yet."""
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
        """Store pending writes of a task, given with its path."""
        if not writes:
            return
        rows = self._open(thread, name, checkpoint_id, None).writes.setdefault(checkpoint_id, {})
        for index, (channel, value) in enumerate(writes):
            if channel in ONE_PER_TASK:
                rows[task[0], ONE_PER_TASK[channel]] = (task[1], channel, value)
            else:
                rows.setdefault((task[0], index), (task[1], channel, value))

    def read(self, thread: str) -> None:
        """Count the read of a thread as activity, once a hundredth of its time has passed."""
        expires, age = self.expires(thread), self.ages[thread]
        if expires is not None and (self.now - age.updated) * 100 >= expires - age.updated:
            age.updated = self.now

    def delete_thread(self, thread: str) -> None:
        """Delete all of a thread."""
        self._remove(thread)

    def delete_for_runs(self, run_ids: list[str]) -> None:
        """Delete the checkpoints of runs, in all threads."""
        for thread, namespaces in [*self.threads.items(), *self.hidden.items()]:
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

    def prune(self, thread: str, keep: int | None, since: int | None = None) -> None:
        """Keep the latest checkpoints of each namespace, and the calls that these started.

        Args:
            keep: How many; None: all.
            since: What was stored earlier goes, too, but for the latest.
        """
        namespaces = self._stored(thread)
        gone = {name: self._old(namespace, keep, since) for name, namespace in namespaces.items()}
        for name, namespace in namespaces.items():
            ids = sorted(namespace.checkpoints)
            if ids and ":" in name and namespace.checkpoints[ids[-1]].root in gone.get("", ()):
                gone[name] = set(ids)
        for name, namespace in namespaces.items():
            namespace.drop(gone[name])
        if any(gone.values()):
            self._settle(thread)

    def _old(self, namespace: Namespace, keep: int | None, since: int | None) -> set[str]:
        ids = sorted(namespace.checkpoints, reverse=True)
        old = set() if keep is None else set(ids[keep:])
        if since is not None:
            old |= {i for i in ids[1:] if namespace.checkpoints[i].stored < since}
        return old

    def sweep(self, thread: str, now: int) -> None:
        """Remove of a thread what is past its time at a moment."""
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
        """Whether anything of a thread can be seen."""
        return any(n.checkpoints for n in self.threads.get(thread, {}).values())

    def copy_thread(self, source: str, target: str) -> None:
        """Copy all of a thread to a new one."""
        if source in self.threads and source != target:
            self._new(source, target, copy.deepcopy(self.threads[source]))

    def fork(self, source: str, checkpoint_id: str, target: str) -> None:
        """Make a thread of a checkpoint of the root namespace and what it came from: its
        ancestors, and what subgraphs stored that were called from them."""
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
        """Checkpoints and pending writes of a thread, hidden or not."""
        namespaces = self._stored(thread).values()
        writes = sum(len(rows) for n in namespaces for rows in n.writes.values())
        return sum(len(n.checkpoints) for n in namespaces), writes

    def totals(self) -> tuple[int, int, int]:
        """Threads with checkpoints, checkpoints, and pending writes, hidden ones too."""
        rows = [self.counts(thread) for thread in self.ages]
        return (
            sum(1 for checkpoints, _ in rows if checkpoints),
            sum(checkpoints for checkpoints, _ in rows),
            sum(writes for _, writes in rows),
        )

    def newest_threads(self) -> list[str]:
        """Those with checkpoints, the one that was active last first."""
        found = [thread for thread in self.threads if self.has_checkpoints(thread)]
        return sorted(found, key=lambda thread: (-self.ages[thread].updated, thread))

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
