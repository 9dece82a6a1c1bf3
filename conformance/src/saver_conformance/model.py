"""The model: the semantics of a checkpoint saver, which every clause compares with.

It is written in plain dicts and does not import LangGraph, so that it cannot share a fault with
the published savers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from saver_conformance.metadata import merged_metadata

#: Slots of the special writes, which replace an earlier write of the same task.
SPECIAL_SLOTS = {"__error__": -1, "__scheduled__": -2, "__interrupt__": -3, "__resume__": -4}

Config = Mapping[str, Any]
Triple = tuple[str, str, Any]


class Key(NamedTuple):
    """A checkpoint key: thread, namespace and id."""

    thread: str
    ns: str
    id: str


@dataclass(frozen=True)
class Entry:
    """A checkpoint as a reader sees it; the reader owns every value in it."""

    key: Key
    checkpoint: dict[str, Any]
    metadata: dict[str, Any]
    parent: str | None
    writes: list[Triple]


@dataclass
class _Row:
    checkpoint: dict[str, Any]
    metadata: dict[str, Any]
    parent: str | None
    #: Deleted, but kept for a delta channel of a remaining checkpoint.
    is_tombstone: bool = False
    orphaned: bool = False


@dataclass(frozen=True)
class _Write:
    path: str
    task: str
    slot: int
    channel: str
    value: Any


@dataclass
class Model:
    """A model of a store: its state, and the effect of each operation on it.

    Attributes:
        clone: Function that copies values in and out; callers share no state with the model.
    """

    clone: Callable[[Any], Any] = copy.deepcopy
    _rows: dict[Key, _Row] = field(default_factory=dict)
    _writes: dict[Key, dict[tuple[str, int], _Write]] = field(default_factory=dict)

    def put(
        self, config: Config, checkpoint: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> Key:
        """Store a checkpoint whose `channel_values` are complete.

        Args:
            config: Thread and namespace, with the parent as `checkpoint_id`.
            checkpoint: Checkpoint to store.
            metadata: Metadata of the checkpoint, without the entries of the config.

        Returns:
            Key of the checkpoint.
        """
        where = config["configurable"]
        key = Key(str(where["thread_id"]), where.get("checkpoint_ns") or "", checkpoint["id"])
        self._rows[key] = _Row(
            self.clone(dict(checkpoint)),
            self.clone(merged_metadata(config, metadata)),
            where.get("checkpoint_id") or None,
        )
        return key

    def inherited(self, config: Config, channel: str, version: Any) -> dict[str, Any]:
        """Return the value that a version of a channel has on the path to a checkpoint.

        Args:
            config: Config of the checkpoint, the first of the path.
            channel: Name of the channel.
            version: Version of the channel.

        Returns:
            Value by the name of the channel; empty if the version has no value on the path.
        """
        if not config["configurable"].get("checkpoint_id"):
            return {}
        key = _key(config)
        for at in [key, *self._ancestors(key)] if key in self._rows else ():
            checkpoint = self._rows[at].checkpoint
            if checkpoint["channel_versions"].get(channel) == version:
                values = checkpoint["channel_values"]
                return {channel: self.clone(values[channel])} if channel in values else {}
        return {}

    def put_writes(
        self, config: Config, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store the writes of a task. A regular write keeps its slot; a special write replaces it.

        Args:
            config: Config of the checkpoint.
            writes: Pairs of channel and value.
            task_id: Task id.
            task_path: Task path.
        """
        slots = self._writes.setdefault(_key(config), {})
        for position, (channel, value) in enumerate(writes):
            slot = SPECIAL_SLOTS.get(channel, position)
            if slot < 0 or (task_id, slot) not in slots:
                slots[task_id, slot] = _Write(task_path, task_id, slot, channel, self.clone(value))

    def get(self, config: Config) -> Entry | None:
        """Return one checkpoint, or the latest of the namespace if the config has no id.

        Args:
            config: Thread, with an optional namespace and checkpoint id.

        Returns:
            Checkpoint, or None if it does not exist.
        """
        where = config["configurable"]
        thread, ns = str(where["thread_id"]), where.get("checkpoint_ns") or ""
        wanted = where.get("checkpoint_id") or max(self.ids(thread, ns), default="")
        row = self._rows.get(Key(thread, ns, wanted))
        return (
            None if row is None or row.is_tombstone else self._entry(Key(thread, ns, wanted), row)
        )

    def matching(
        self,
        config: Config | None,
        *,
        filter: Mapping[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> list[Entry]:
        """Return the matching checkpoints in descending order of id.

        Args:
            config: Thread, with an optional namespace and id; None matches every thread.
            filter: Metadata entries that a checkpoint must have.
            before: Config of a checkpoint; only smaller ids match.
            limit: Maximum number of checkpoints; None means no limit.

        Returns:
            Matching checkpoints.
        """
        where = config["configurable"] if config else {}
        bound = before["configurable"].get("checkpoint_id") if before else None
        found: list[Entry] = []
        for key, row in sorted(self._rows.items(), key=lambda item: item[0].id, reverse=True):
            if (
                row.is_tombstone
                or ("thread_id" in where and key.thread != str(where["thread_id"]))
                or (where.get("checkpoint_ns") is not None and key.ns != where["checkpoint_ns"])
                or (where.get("checkpoint_id") and key.id != where["checkpoint_id"])
                or (bound and key.id >= bound)
                or not all(row.metadata.get(k) == v for k, v in _items(filter))
            ):
                continue
            found.append(self._entry(key, row))
        return found if limit is None else found[: max(limit, 0)]

    def ids(self, thread: str, ns: str) -> list[str]:
        """Return the ids of the checkpoints in one namespace, in any order.

        Args:
            thread: Thread id.
            ns: Namespace.

        Returns:
            Checkpoint ids.
        """
        return [
            k.id for k, row in self._rows.items() if k[:2] == (thread, ns) and not row.is_tombstone
        ]

    def stored(self) -> Iterator[Key]:
        """Yield the key of every checkpoint, in any order."""
        return (key for key, row in self._rows.items() if not row.is_tombstone)

    def holds(self, thread: str) -> bool:
        """Return True if the thread has checkpoints or writes without a checkpoint.

        Args:
            thread: Thread id.

        Returns:
            True if the model stores anything of the thread.
        """
        return any(key.thread == thread for key in (*self._rows, *self._writes))

    def delete_thread(self, thread: str) -> None:
        """Delete a thread; an unknown thread has no effect.

        Args:
            thread: Thread id.
        """
        self._rows = {k: row for k, row in self._rows.items() if k.thread != str(thread)}
        self._writes = {k: slots for k, slots in self._writes.items() if k.thread != str(thread)}

    def delete_for_runs(self, run_ids: Iterable[str]) -> None:
        """Delete the checkpoints of some runs in every thread.

        Args:
            run_ids: Run ids; an unknown run has no effect.
        """
        wanted = set(run_ids)
        self._drop([k for k in self.stored() if self._rows[k].metadata.get("run_id") in wanted])

    def copy_thread(self, source: str, target: str) -> None:
        """Copy all checkpoints and writes of a thread.

        Args:
            source: Thread to copy from; an unknown thread has no effect.
            target: Thread to copy to.
        """
        for key, row in list(self._rows.items()):
            if key.thread == str(source):
                self._rows[key._replace(thread=str(target))] = copy.copy(row)
        for key, slots in list(self._writes.items()):
            if key.thread == str(source):
                self._writes[key._replace(thread=str(target))] = dict(slots)

    def prune(self, threads: Iterable[str], *, strategy: str = "keep_latest") -> None:
        """Keep the latest checkpoint of each namespace, or delete the threads.

        Args:
            threads: Threads to prune; an unknown thread has no effect.
            strategy: `keep_latest` or `delete`.

        Raises:
            TypeError: If `threads` is a string.
            ValueError: If the strategy is unknown.
        """
        if isinstance(threads, str):
            raise TypeError(f"threads must be a sequence of thread ids, got {threads!r}")
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"strategy must be 'keep_latest' or 'delete', got {strategy!r}")
        for thread in threads:
            if strategy == "delete":
                self.delete_thread(str(thread))
            else:
                self._keep_latest(str(thread))

    def history(self, config: Config, channels: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the writes and the seed of each channel on the path to a checkpoint.

        Args:
            config: Config of the checkpoint; its own writes are excluded.
            channels: Channels to return.

        Returns:
            For each channel `writes`, oldest first, and `seed` if an ancestor has a value.
        """
        target = self.get(config)
        chain = [] if target is None else self._ancestors(target.key)
        found: dict[str, dict[str, Any]] = {}
        for channel in channels:
            groups: list[list[Triple]] = []
            found[channel] = {}
            for key in chain:
                groups.append([w for w in self._pending(key) if w[1] == channel])
                values = self._rows[key].checkpoint["channel_values"]
                if channel in values:
                    found[channel]["seed"] = self.clone(values[channel])
                    break
            found[channel]["writes"] = [w for group in reversed(groups) for w in group]
        return found

    def _ancestors(self, key: Key) -> list[Key]:
        chain: list[Key] = []
        parent = self._rows[key].parent
        while parent is not None and (at := key._replace(id=parent)) in self._rows:
            if at in chain or at == key:
                break
            chain.append(at)
            parent = self._rows[at].parent
        return chain

    def _entry(self, key: Key, row: _Row) -> Entry:
        return Entry(
            key,
            self.clone(row.checkpoint),
            self.clone(row.metadata),
            None if row.orphaned else row.parent,
            self._pending(key),
        )

    def _pending(self, key: Key) -> list[Triple]:
        slots = self._writes.get(key, {}).values()
        ordered = sorted(slots, key=lambda w: (w.path, w.task, w.slot))
        return [(w.task, w.channel, self.clone(w.value)) for w in ordered]

    def _keep_latest(self, thread: str) -> None:
        heads = {
            ns: max(self.ids(thread, ns))
            for ns in {k.ns for k in self.stored() if k.thread == thread}
        }
        dropped: list[Key] = []
        for ns, head in heads.items():
            key = Key(thread, ns, head)
            parents: dict[str, str] = self._rows[key].metadata.get("parents") or {}
            root = parents.get("", "")
            # The namespace of a subgraph call ends with a colon and the task id.
            finished_call = (
                ":" in ns and root != heads.get("") and Key(thread, "", root) in self._rows
            )
            dropped += [
                Key(thread, ns, i) for i in self.ids(thread, ns) if finished_call or i != head
            ]
        self._drop(dropped)

    def _drop(self, keys: Iterable[Key]) -> None:
        deleted = set(keys)
        for key in deleted:
            self._rows[key].is_tombstone = True
        for key in self.stored():
            row = self._rows[key]
            if row.parent is not None and key._replace(id=row.parent) in deleted:
                row.orphaned = True
        needed = {at for key in self.stored() for at in self._delta_path(key)}
        for key in [k for k, row in self._rows.items() if row.is_tombstone and k not in needed]:
            del self._rows[key]
            self._writes.pop(key, None)

    def _delta_path(self, key: Key) -> Iterator[Key]:
        """Yield the ancestors that the delta channels of a checkpoint need."""
        row = self._rows[key]
        unseeded = set(row.metadata.get("counters_since_delta_snapshot") or {})
        unseeded -= row.checkpoint["channel_values"].keys()
        for at in self._ancestors(key) if unseeded else ():
            yield at
            unseeded -= self._rows[at].checkpoint["channel_values"].keys()
            if not unseeded:
                return


def _items(mapping: Mapping[str, Any] | None) -> Iterable[tuple[str, Any]]:
    return mapping.items() if mapping else ()


def _key(config: Config) -> Key:
    where = config["configurable"]
    return Key(str(where["thread_id"]), where.get("checkpoint_ns") or "", where["checkpoint_id"])
