"""Faults with branches and copies, and in delta histories on them."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, ModelFault, mutant
from saver_conformance.model import Key, Model


class _Sharing(Faulty):
    """A saver that stores the value of each channel version once, like PostgresSaver."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.values: dict[Any, Any] = {}

    def shared(self, config: Any, channel: str, version: Any) -> Any:
        where = config["configurable"]
        return where["thread_id"], where["checkpoint_ns"], channel, version

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        given = checkpoint["channel_values"]
        for channel, version in self.announced(checkpoint, new_versions).items():
            if channel in given:
                self.keep(self.shared(config, channel, version), self.encode(given[channel]))
        return super().put(config, checkpoint, metadata, new_versions)

    def announced(self, checkpoint: Any, new_versions: Any) -> Any:
        return new_versions

    def keep(self, key: Any, value: Any) -> None:
        self.values[key] = value

    def changed_tuple(self, found: Any) -> Any:
        values = {}
        for channel, version in found.checkpoint["channel_versions"].items():
            key = self.shared(found.config, channel, version)
            if key in self.values:
                values[channel] = self.decode(self.values[key])
        return found._replace(checkpoint={**found.checkpoint, "channel_values": values})


@mutant("branch.handed_over")
class NewVersionsOnly(_Sharing):
    """Only the values of channels in new_versions are stored."""


@mutant("branch.same_version")
class SharedVersions(_Sharing):
    """Branches with the same version of a channel share its value."""

    def announced(self, checkpoint: Any, new_versions: Any) -> Any:
        return checkpoint["channel_versions"]


@mutant("branch.imported")
class FirstValueOfChannel(_Sharing):
    """An import of a channel that the thread already has is ignored."""

    def shared(self, config: Any, channel: str, version: Any) -> Any:
        where = config["configurable"]
        return where["thread_id"], channel, version

    def keep(self, key: Any, value: Any) -> None:
        self.values.setdefault((key[0] == "other", *key[1:]), value)


@mutant("branch.copied")
class OnlyNewValues(Faulty):
    """A checkpoint with new_versions={} has no values."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        values = checkpoint["channel_values"] if new_versions else {}
        stored = {**checkpoint, "channel_values": values}
        return super().put(config, stored, metadata, new_versions)


class _FromParent(Faulty):
    """A saver that reads unchanged channels from the parent."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        origin = self.origin(config, checkpoint)
        old = origin.checkpoint["channel_values"] if origin else {}
        given = checkpoint["channel_values"]
        values = {k: v for k, v in given.items() if k in new_versions or k not in old}
        values |= {k: v for k, v in old.items() if k not in new_versions and k in given}
        stored = {**checkpoint, "channel_values": values}
        return super().put(config, stored, metadata, new_versions)

    def origin(self, config: Any, checkpoint: Any) -> Any:
        return self.get_tuple(config) if config["configurable"].get("checkpoint_id") else None


@mutant("branch.copied", "branch.tree")
class UnchangedFromLatest(_FromParent):
    """Unchanged channels have the values of the latest checkpoint."""

    def origin(self, config: Any, checkpoint: Any) -> Any:
        where = {k: v for k, v in config["configurable"].items() if k != "checkpoint_id"}
        return self.get_tuple({"configurable": where})


@mutant("branch.copied")
class UnchangedFromParent(_FromParent):
    """Unchanged channels have the values of the parent, although put received other values."""


@mutant("branch.imported")
class ParentMustExist(Faulty):
    """A checkpoint whose parent does not exist has no parent."""

    def put(self, config: Any, checkpoint: Any, *args: Any) -> Any:
        where = config["configurable"]
        if where.get("checkpoint_id") and self.get_tuple(config) is None:
            where = {k: v for k, v in where.items() if k != "checkpoint_id"}
        return super().put({**config, "configurable": where}, checkpoint, *args)


@mutant("branch.imported")
class OlderImportsIgnored(Faulty):
    """A checkpoint that is older than the latest one of its namespace is not stored."""

    def put(self, config: Any, checkpoint: Any, *args: Any) -> Any:
        where = config["configurable"]
        known = self.model.ids(str(where["thread_id"]), where["checkpoint_ns"])
        if checkpoint["id"] >= max(known, default=""):
            super().put(config, checkpoint, *args)
        bare = {"thread_id": where["thread_id"], "checkpoint_ns": where["checkpoint_ns"]}
        return {"configurable": {**bare, "checkpoint_id": checkpoint["id"]}}


class _Again(Faulty):
    """A saver that handles an existing id in its own way."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        where = {**config["configurable"], "checkpoint_id": checkpoint["id"]}
        old = self.get_tuple({"configurable": where})
        if old is not None:
            checkpoint, metadata = self.merged(old, dict(checkpoint), dict(metadata))
        return super().put(config, checkpoint, metadata, new_versions)

    def merged(self, old: Any, checkpoint: Any, metadata: Any) -> Any:
        return checkpoint, metadata


@mutant("put.again")
class MergesMetadata(_Again):
    """Metadata of an existing id is merged with the old metadata."""

    def merged(self, old: Any, checkpoint: Any, metadata: Any) -> Any:
        return checkpoint, {**old.metadata, **metadata}


@mutant("put.again")
class KeepsOldFields(_Again):
    """The timestamp of an existing id is kept."""

    def merged(self, old: Any, checkpoint: Any, metadata: Any) -> Any:
        return {**checkpoint, "ts": old.checkpoint["ts"]}, metadata


@mutant("put.again")
class ForgetsWritesOfReplaced(_Again):
    """Putting an id again deletes its pending writes."""

    def merged(self, old: Any, checkpoint: Any, metadata: Any) -> Any:
        where = old.config["configurable"]
        key = (where["thread_id"], where["checkpoint_ns"], where["checkpoint_id"])
        self.model._writes.pop(key, None)  # type: ignore[call-overload]
        return checkpoint, metadata


@mutant("put.again")
class KeepsOldChannels(_Again):
    """Channels that an existing id has no more keep their old values."""

    def merged(self, old: Any, checkpoint: Any, metadata: Any) -> Any:
        values = {**old.checkpoint["channel_values"], **checkpoint["channel_values"]}
        return {**checkpoint, "channel_values": values}, metadata


@mutant("put.again.same_values")
class SameValuesIgnored(Faulty):
    """Putting an id again with the values that it has already does nothing."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        where = {**config["configurable"], "checkpoint_id": checkpoint["id"]}
        old = self.get_tuple({"configurable": where})
        if old is not None and old.checkpoint["channel_values"] == checkpoint["channel_values"]:
            return old.config
        return super().put(config, checkpoint, metadata, new_versions)


@mutant("branch.copied")
class OldValuesLost(Faulty):
    """Values whose version is not new are lost once a node has run."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return {**checkpoint, "channel_values": {}} if checkpoint["versions_seen"] else checkpoint


class _History(Faulty):
    """A saver with a hook for each entry of the history."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        return self.changed({k: dict(v) for k, v in found.items()})

    def changed(self, found: Any) -> Any:
        return found


@mutant("history.tree", "history.walk")
class NoneIsNoSeed(_History):
    """A seed of None is missing, as in PostgresSaver 3.2.0."""

    def changed(self, found: Any) -> Any:
        for entry in found.values():
            if entry.get("seed", ...) is None:
                del entry["seed"]
        return found


@mutant("history.tree", "history.walk")
class FalsyIsNoSeed(_History):
    """A falsy seed is missing, except None."""

    def changed(self, found: Any) -> Any:
        for entry in found.values():
            if "seed" in entry and entry["seed"] is not None and not entry["seed"]:
                del entry["seed"]
        return found


@mutant("history.tree", "history.walk")
class FalsyWritesDropped(_History):
    """Falsy writes are missing."""

    def changed(self, found: Any) -> Any:
        for entry in found.values():
            entry["writes"] = [w for w in entry["writes"] if w[2]]
        return found


@mutant("history.tree", "history.walk")
class OneDepth(Faulty):
    """The walk ends for every channel at the first ancestor that has a seed of one."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        seeded = [len(e["writes"]) for e in found.values() if "seed" in e]
        shortest = min(seeded, default=0)
        for entry in found.values():
            if "seed" in entry and len(entry["writes"]) > shortest:
                entry.pop("seed")
                entry["writes"] = entry["writes"][-shortest:] if shortest else []
        return found


@mutant("history.tree")
class AsyncNoneIsNoSeed(Faulty):
    """aget_delta_channel_history drops a seed of None."""

    async def aget_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        return {
            name: {k: v for k, v in entry.items() if k != "seed" or v is not None}
            for name, entry in found.items()
        }


@mutant("history.tree")
class SeedOfSibling(Faulty):
    """The seed is the newest stored value before the checkpoint, on any branch."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = dict(super().get_delta_channel_history(config=config, channels=channels))
        target = self.get_tuple(config)
        if target is None:
            return found
        where = {k: v for k, v in target.config["configurable"].items() if k != "checkpoint_id"}
        for older in reversed([*self.list({"configurable": where}, before=target.config)]):
            for name in channels:
                if name in older.checkpoint["channel_values"]:
                    seed = older.checkpoint["channel_values"][name]
                    found[name] = {**found[name], "seed": seed}
        return found


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
