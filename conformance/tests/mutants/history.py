"""Faults in get_delta_channel_history."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, mutant


class _Walking(Faulty):
    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        return {k: self.walked(config, k, dict(v)) for k, v in found.items()}

    def walked(self, config: Any, channel: str, entry: Any) -> Any:
        return entry


@mutant("history.path")
class WalksById(Faulty):
    """The walk follows ids instead of parents, so that other branches contribute."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        target = self.get_tuple(config)
        if target is None:
            return {c: {"writes": []} for c in channels}
        where = {k: v for k, v in target.config["configurable"].items() if k != "checkpoint_id"}
        older = list(self.list({"configurable": where}, before=target.config))
        result = {}
        for channel in channels:
            entry: dict[str, Any] = {"writes": []}
            for found in older:
                entry["writes"][:0] = [w for w in found.pending_writes if w[1] == channel]
                if channel in found.checkpoint["channel_values"]:
                    entry["seed"] = found.checkpoint["channel_values"][channel]
                    break
            result[channel] = entry
        return result


@mutant("history.seed")
class NoSeed(_Walking):
    """The walk continues to the root and returns no seed."""

    def walked(self, config: Any, channel: str, entry: Any) -> Any:
        entry.pop("seed", None)
        return entry


@mutant("history.seed")
class SeedWithoutWrites(_Walking):
    """The writes of the checkpoint with the seed are missing."""

    def walked(self, config: Any, channel: str, entry: Any) -> Any:
        if "seed" in entry:
            entry["writes"] = entry["writes"][1:]
        return entry


@mutant("history.order", "copy.delta")
class NewestFirst(_Walking):
    """Writes are returned newest first."""

    def walked(self, config: Any, channel: str, entry: Any) -> Any:
        entry["writes"] = entry["writes"][::-1] if "copy" not in str(config) else []
        return entry


@mutant("history.channels")
class AllChannels(_Walking):
    """Each channel gets the writes of the first channel."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        first = next(iter(found.values()), {})
        return {k: {**v, "writes": first["writes"]} for k, v in found.items()}


@mutant("history.channels")
class EmptyChannelsLeftOut(_Walking):
    """A channel without writes has no entry."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        return {k: v for k, v in found.items() if v["writes"]}


@mutant("history.target")
class TargetIncluded(_Walking):
    """The writes of the target are part of the history."""

    def walked(self, config: Any, channel: str, entry: Any) -> Any:
        target = self.get_tuple(config)
        own = target.pending_writes if target else []
        entry["writes"] = [*entry["writes"], *(w for w in own if w[1] == channel)]
        return entry


@mutant("history.unknown")
class UnknownTargetRaises(_Walking):
    """An unknown target raises KeyError."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        if self.get_tuple(config) is None:
            raise KeyError(config["configurable"].get("checkpoint_id"))
        return super().get_delta_channel_history(config=config, channels=channels)


@mutant("history.loop")
class WalksForever(_Walking):
    """A cycle of parents is followed endlessly."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        current = self.get_tuple(config)
        while current is not None and current.parent_config is not None:
            current = self.get_tuple(current.parent_config)
        return super().get_delta_channel_history(config=config, channels=channels)
