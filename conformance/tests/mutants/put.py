"""Faults in put."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, mutant


@mutant("put.config")
class ReturnsOldConfig(Faulty):
    """put returns the config that it received."""

    def put(self, config: Any, *args: Any) -> Any:
        super().put(config, *args)
        return config


@mutant("put.config")
class ReturnsNothing(Faulty):
    """put returns None."""

    def put(self, *args: Any) -> Any:
        super().put(*args)


@mutant("put.fields")
class NewTimestamp(Faulty):
    """The timestamp is the time of storing."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return {**checkpoint, "ts": "2030-01-01T00:00:00+00:00"}


@mutant("put.fields")
class ForgetsVersionsSeen(Faulty):
    """versions_seen is not stored."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return {**checkpoint, "versions_seen": {}}


@mutant("put.fields")
class ForgetsUpdatedChannels(Faulty):
    """updated_channels is not stored."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return {**checkpoint, "updated_channels": None}


@mutant("put.replace")
class FirstPutStays(Faulty):
    """Putting an existing id changes nothing."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        where = config["configurable"]
        ids = self.model.ids(str(where["thread_id"]), where.get("checkpoint_ns") or "")
        if checkpoint["id"] in ids:
            return {"configurable": {**where, "checkpoint_id": checkpoint["id"]}}
        return super().put(config, checkpoint, metadata, new_versions)


@mutant("put.replace")
class MetadataStays(Faulty):
    """Putting an existing id replaces its values and keeps its metadata."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        where = {**config["configurable"], "checkpoint_id": checkpoint["id"]}
        found = self.get_tuple({"configurable": where})
        merged = found.metadata if found else metadata
        return super().put(config, checkpoint, merged, new_versions)


@mutant("put.unserializable")
class SkipsUnserializable(Faulty):
    """A value that cannot be serialized is silently dropped."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        kept = {}
        for channel, value in checkpoint["channel_values"].items():
            try:
                self.encode(value)
            except TypeError:
                continue
            kept[channel] = value
        return {**checkpoint, "channel_values": kept}


@mutant("put.unserializable")
class HalfStored(Faulty):
    """put stores the checkpoint before it finds that a value cannot be serialized."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        bare = {**checkpoint, "channel_values": {}}
        super().put(config, bare, metadata, new_versions)
        return super().put(config, checkpoint, metadata, new_versions)


@mutant("put.unserializable.named")
class NamelessError(Faulty):
    """The error does not name the channel that cannot be serialized."""

    def encode(self, value: Any, channel: str = "metadata") -> Any:
        return self.serde.dumps_typed(value)


@mutant("put.unserializable.metadata")
class StoredBeforeMetadata(Faulty):
    """put stores the checkpoint before it finds that the metadata cannot be serialized."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        super().put(config, checkpoint, {}, new_versions)
        return super().put(config, checkpoint, metadata, new_versions)


@mutant("put.unserializable.path")
class NamesChannelOnly(Faulty):
    """The error of a value that cannot be serialized names its channel, and no key in the value."""

    def encode(self, value: Any, channel: str = "metadata") -> Any:
        try:
            return super().encode(value, channel)
        except TypeError:
            raise TypeError(f"cannot serialize {channel}") from None
