"""Faults of objects that a saver returns or keeps, and shares with its callers."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, mutant, values


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


@mutant("put.isolated")
class KeepsReferences(Faulty):
    """Values are stored by reference until they are first read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.live: dict[str, Any] = {}

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        stored = super().put(config, checkpoint, metadata, new_versions)
        self.live[checkpoint["id"]] = checkpoint["channel_values"]
        return stored

    def changed_tuple(self, found: Any) -> Any:
        live = self.live.get(found.checkpoint["id"])
        if live is None:
            return found
        kept = {k: self.decode(self.encode(v)) for k, v in live.items()}
        return found._replace(checkpoint={**found.checkpoint, "channel_values": kept})
