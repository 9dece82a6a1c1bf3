"""Faults in metadata."""

from __future__ import annotations

import json
from typing import Any

from mutants.base import Faulty, mutant
from saver_conformance.metadata import merged_metadata


@mutant("metadata.values")
class FlatMetadata(Faulty):
    """Nested metadata is stored as JSON text."""

    def changed_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        flat = (dict, list)
        return {
            k: json.dumps(v) if isinstance(v, flat) and k != "parents" else v
            for k, v in metadata.items()
        }


@mutant("metadata.values")
class NoNoneInMetadata(Faulty):
    """Metadata entries that are None are not stored."""

    def changed_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in metadata.items() if v is not None}


@mutant("metadata.merged")
class ConfigNotMerged(Faulty):
    """The config's metadata is not merged in."""

    def put(self, config: Any, *args: Any) -> Any:
        keys = ("thread_id", "checkpoint_ns", "checkpoint_id")
        where = {k: v for k, v in config["configurable"].items() if k in keys}
        return super().put({"configurable": where}, *args)


@mutant("metadata.merged")
class ConfigWins(Faulty):
    """The config's metadata overrides the metadata of put."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        merged = {**metadata, **(config.get("metadata") or {})}
        return super().put(config, checkpoint, merged, new_versions)


@mutant("metadata.excluded")
class EverythingIsMetadata(Faulty):
    """Ids and private keys of the config are merged into the metadata."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        merged = {**merged_metadata(config, metadata), **config["configurable"]}
        return super().put(config, checkpoint, merged, new_versions)


@mutant("scale.metadata")
class ShortMetadata(Faulty):
    """Metadata of more than 64 KiB is not stored."""

    def changed_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        return {} if len(repr(metadata)) > 65_536 else metadata


@mutant("list.filter.merged")
class FiltersGivenMetadata(Faulty):
    """A filter finds only metadata that put received as metadata."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.given: dict[str, set[str]] = {}

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        self.given[checkpoint["id"]] = set(metadata)
        return super().put(config, checkpoint, metadata, new_versions)

    def list(self, *args: Any, filter: Any = None, **kwargs: Any) -> Any:
        for found in super().list(*args, filter=filter, **kwargs):
            if set(filter or ()) <= self.given[found.checkpoint["id"]]:
                yield found
