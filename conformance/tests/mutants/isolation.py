"""Faults of what a saver hands out, keeps, and takes from the path to a parent."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from mutants.base import Faulty, mutant, values
from mutants.slots import ModelFault
from saver_conformance.model import SPECIAL_SLOTS, Key, Model


class _Caches(Faulty):
    """A saver that remembers what it returned."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.returned: dict[str, Any] = {}


@mutant("list.isolated")
class ListsFromCache(_Caches):
    """list returns cached tuples, which all readers share."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        for found in super().list(*args, **kwargs):
            key = f"{found.config} {len(found.pending_writes)}"
            yield self.returned.setdefault(key, found)


@mutant("list.isolated")
class SharesVersions(_Caches):
    """channel_versions and versions_seen come from a cache that all readers share."""

    def changed_tuple(self, found: Any) -> Any:
        names = ("channel_versions", "versions_seen")
        fresh = {name: found.checkpoint[name] for name in names}
        shared = self.returned.setdefault(found.checkpoint["id"], fresh)
        return found._replace(checkpoint={**found.checkpoint, **shared})


@mutant("history.isolated")
class HistoryFromCache(_Caches):
    """The history of a DeltaChannel comes from a cache that all readers share."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        return self.returned.setdefault(f"{config} {channels} {len(self.model._rows)}", found)


@mutant("put.config.own")
class OneConfig(_Caches):
    """put returns one config object, which each put changes."""

    def put(self, *args: Any) -> Any:
        where = self.returned.setdefault("config", {"configurable": {}})
        where["configurable"].update(super().put(*args)["configurable"])
        return where


@mutant("put.isolated.bytearray")
class KeepsBytearrays(_Caches):
    """A bytearray is kept and returned by reference."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        self.returned.update(checkpoint["channel_values"])
        return super().put(config, checkpoint, metadata, new_versions)

    def changed_tuple(self, found: Any) -> Any:
        kept = {k: v for k, v in self.returned.items() if isinstance(v, bytearray)}
        complete = {**found.checkpoint["channel_values"], **kept}
        return found._replace(checkpoint={**found.checkpoint, "channel_values": complete})


@mutant("put.isolated.bytearray")
class BytearraysAsBytes(Faulty):
    """A bytearray comes back as bytes."""

    def changed_tuple(self, found: Any) -> Any:
        return values(found, lambda v: bytes(v) if isinstance(v, bytearray) else v)


@mutant("put.values.keys")
class KeysAsText(Faulty):
    """The keys of a dict come back as text."""

    def changed_tuple(self, found: Any) -> Any:
        return values(
            found, lambda v: {str(k): x for k, x in v.items()} if isinstance(v, dict) else v
        )


@mutant("branch.inherited")
class InheritsNothing(Faulty):
    """A channel without a value and without a new version has no value."""

    def inherited(self, config: Any, channel: str, version: Any) -> dict[str, Any]:
        return {}


@mutant("branch.inherited")
class InheritsFromLatest(Faulty):
    """A channel without a value takes it from the latest checkpoint of the namespace."""

    def inherited(self, config: Any, channel: str, version: Any) -> dict[str, Any]:
        where = config["configurable"]
        latest = max(self.model.ids(where["thread_id"], where["checkpoint_ns"]), default=None)
        return super().inherited(
            {"configurable": {**where, "checkpoint_id": latest}}, channel, version
        )


@mutant("branch.inherited.own")
class InheritsFromBranches(Faulty):
    """A channel without a value takes it from any checkpoint with the same version."""

    def inherited(self, config: Any, channel: str, version: Any) -> dict[str, Any]:
        for key, row in self.model._rows.items():
            found = row.checkpoint["channel_values"]
            same = row.checkpoint["channel_versions"].get(channel) == version
            if key.thread == config["configurable"]["thread_id"] and same and channel in found:
                return {channel: found[channel]}
        return {}


@mutant("branch.handed_over.alone")
class DropsUnversioned(Faulty):
    """A value without a version is not stored."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        known = checkpoint["channel_versions"]
        kept = {k: v for k, v in checkpoint["channel_values"].items() if k in known}
        return {**checkpoint, "channel_values": kept}


@mutant("branch.handed_over.alone")
class NeedsParent(Faulty):
    """Values without a new version are not stored if the parent is not stored."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        if self.get_tuple(config) is None:
            kept = {k: v for k, v in checkpoint["channel_values"].items() if k in new_versions}
            checkpoint = {**checkpoint, "channel_values": kept}
        return super().put(config, checkpoint, metadata, new_versions)


@mutant("put.again.parent")
class KeepsFirstParent(ModelFault):
    """Putting an id again keeps the parent of the first time."""

    class OwnModel(Model):
        def put(self, config: Any, checkpoint: Any, metadata: Any) -> Any:
            where = config["configurable"]
            old = self._rows.get(Key(where["thread_id"], where["checkpoint_ns"], checkpoint["id"]))
            key = super().put(config, checkpoint, metadata)
            if old is not None:
                self._rows[key].parent = old.parent
            return key


class _Paths(Faulty):
    """A saver that changes the path by which writes are ordered."""

    def ordered_by(self, path: str) -> str:
        return path

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, writes, task_id, self.ordered_by(task_path))


@mutant("writes.order.text")
class CutsPaths(_Paths):
    """Task paths are cut after 255 characters before they are compared."""

    def ordered_by(self, path: str) -> str:
        return path[:255]


@mutant("writes.order.text")
class FoldsPaths(_Paths):
    """Task paths are ordered without case."""

    def ordered_by(self, path: str) -> str:
        return path.casefold()


@mutant("writes.order.text")
class FoldsTasks(ModelFault):
    """Task ids are ordered without case."""

    class OwnModel(Model):
        def _pending(self, key: Key) -> Any:
            slots = self._writes.get(key, {}).values()
            ordered = sorted(slots, key=lambda w: (w.path, w.task.casefold(), w.slot))
            return [(w.task, w.channel, self.clone(w.value)) for w in ordered]


@mutant("writes.last_wins.own")
class SpecialForEveryTask(ModelFault):
    """A special write replaces the special writes of the other tasks of its checkpoint."""

    class OwnModel(Model):
        def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
            where = config["configurable"]
            key = Key(str(where["thread_id"]), where["checkpoint_ns"], where["checkpoint_id"])
            used = self._writes.get(key, {})
            for channel in {channel for channel, _ in writes} & SPECIAL_SLOTS.keys():
                for slot in [slot for slot in used if slot[1] == SPECIAL_SLOTS[channel]]:
                    del used[slot]
            super().put_writes(config, writes, task_id, task_path)


@mutant("writes.own_checkpoint.chain")
class InheritsWrites(Faulty):
    """A checkpoint without writes shows the writes of its parent."""

    def changed_tuple(self, found: Any) -> Any:
        if found.pending_writes or found.parent_config is None:
            return found
        parent = self.get_tuple(found.parent_config)
        return found._replace(pending_writes=parent.pending_writes if parent else [])


@mutant("writes.values")
class NamelessChannelLost(Faulty):
    """Writes to a channel whose name is empty are not stored."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, [w for w in writes if w[0]], task_id, task_path)


@mutant("identity.thread.number.calls")
class IntsDeleteNothing(Faulty):
    """delete_thread of an int deletes nothing."""

    def delete_thread(self, thread_id: Any) -> None:
        if isinstance(thread_id, str):
            super().delete_thread(thread_id)


@mutant("identity.thread.number.calls")
class IntsCopyNothing(Faulty):
    """copy_thread of an int copies nothing."""

    def copy_thread(self, source_thread_id: Any, target_thread_id: Any) -> None:
        if isinstance(source_thread_id, str):
            super().copy_thread(source_thread_id, target_thread_id)


@mutant("identity.thread.number.calls")
class IntsListNothing(Faulty):
    """list of an int yields nothing."""

    def list(self, config: Any, **kwargs: Any) -> Any:
        if not config or isinstance(config["configurable"]["thread_id"], str):
            yield from super().list(config, **kwargs)


@mutant("versions.foreign")
class FloatsStick(Faulty):
    """The version after a large float is the same float."""

    def get_next_version(self, current: Any, channel: None) -> Any:
        if isinstance(current, float):
            return current + 1
        return super().get_next_version(current, channel)


@mutant("versions.foreign")
class OnlyOwnVersions(Faulty):
    """get_next_version raises for a text."""

    def get_next_version(self, current: Any, channel: None) -> Any:
        if isinstance(current, str):
            raise NotImplementedError
        return super().get_next_version(current, channel)


@mutant("arguments.put")
class VersionsToText(Faulty):
    """put turns the channel_versions of the caller into text."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        versions = checkpoint["channel_versions"]
        stored = {**checkpoint, "channel_versions": {**versions}}
        versions.update({channel: str(version) for channel, version in versions.items()})
        return super().put(config, stored, metadata, new_versions)


@mutant("list.filter.merged")
class FiltersGivenMetadata(_Caches):
    """A filter finds only metadata that put received as metadata."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        self.returned[checkpoint["id"]] = set(metadata)
        return super().put(config, checkpoint, metadata, new_versions)

    def list(self, *args: Any, filter: Any = None, **kwargs: Any) -> Any:
        for found in super().list(*args, filter=filter, **kwargs):
            if set(filter or ()) <= self.returned[found.checkpoint["id"]]:
                yield found


@mutant("scale.metadata")
class ShortMetadata(Faulty):
    """Metadata of more than 64 KiB is not stored."""

    def changed_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        return {} if len(repr(metadata)) > 65_536 else metadata


@mutant("allowlist.clone.shared")
class CloneOfMoment(Faulty):
    """with_allowlist returns a saver with a copy of the store."""

    def with_allowlist(self, extra_allowlist: Any) -> Any:
        clone = super().with_allowlist(extra_allowlist)
        clone.model = copy.deepcopy(self.model)
        return clone


@mutant("copy.itself")
class CopyMoves(Faulty):
    """copy_thread of a thread onto itself deletes it."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        if source_thread_id == target_thread_id:
            self.delete_thread(source_thread_id)
        else:
            super().copy_thread(source_thread_id, target_thread_id)


@mutant("prune.delta.again")
class ForgetsWhatWasKept(_Caches):
    """A second prune deletes the deltas that the first one kept."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        tombstones = [key for key, row in self.model._rows.items() if row.is_tombstone]
        super().prune(thread_ids, strategy=strategy)
        for key in tombstones:
            self.model._rows.pop(key, None)


@mutant("prune.deltas")
class PrunedSeedLost(_Caches):
    """prune loses a snapshot of None that a DeltaChannel is rebuilt from."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune(thread_ids, strategy=strategy)
        self.returned["pruned"] = True

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        for entry in found.values() if self.returned else ():
            if entry.get("seed", 1) is None:
                del entry["seed"]
        return found


@mutant("prune.subgraphs")
class NestedCallsStay(Faulty):
    """keep_latest keeps the namespaces of nested subgraph calls."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        rows = self.model._rows.items()
        nested = {key: replace(row) for key, row in rows if "|" in key.ns}
        super().prune(thread_ids, strategy=strategy)
        self.model._rows.update(nested)


@mutant("prune.bad_strategy.raises")
class UnknownStrategyIgnored(Faulty):
    """prune ignores an unknown strategy."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        if strategy in ("keep_latest", "delete"):
            super().prune(thread_ids, strategy=strategy)


@mutant("prune.bad_strategy.raises")
class StrategyCheckedLate(Faulty):
    """prune raises for an unknown strategy only if there is a thread to prune."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        if thread_ids:
            super().prune(thread_ids, strategy=strategy)


@mutant("list.paused.both_apis")
class AlistHoldsLock(Faulty):
    """A paused alist holds the lock of the sync API."""

    async def alist(self, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            for found in super().list(*args, **kwargs):
                yield found


@mutant("put.versions")
class RoundsVersions(Faulty):
    """An int version is rounded to a float of 64 bits."""

    def changed_tuple(self, found: Any) -> Any:
        versions = found.checkpoint["channel_versions"].items()
        rounded = {k: int(float(v)) if isinstance(v, int) else v for k, v in versions}
        return found._replace(checkpoint={**found.checkpoint, "channel_versions": rounded})


@mutant("put.unserializable.path")
class NamesChannelOnly(Faulty):
    """The error of a value that cannot be serialized names its channel, and no key in the value."""

    def encode(self, value: Any, channel: str = "metadata") -> Any:
        try:
            return super().encode(value, channel)
        except TypeError:
            raise TypeError(f"cannot serialize {channel}") from None


@mutant("scale.versions")
class ShortVersions(Faulty):
    """Versions are numbers as text, padded to four digits."""

    def get_next_version(self, current: Any, channel: None) -> Any:
        return f"{int(current or 0) + 1:04}"
