"""Faults in the treatment of arguments: a call mutates them."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, mutant


@mutant("arguments.put")
class PopsParent(Faulty):
    """put removes the parent from the caller's config."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        stored = super().put(config, checkpoint, metadata, new_versions)
        config["configurable"].pop("checkpoint_id", None)
        return stored


@mutant("arguments.put")
class PopsUnchangedValues(Faulty):
    """put removes the stored values from the caller's checkpoint."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        stored = super().put(config, checkpoint, metadata, new_versions)
        checkpoint["channel_values"].clear()
        return stored


@mutant("arguments.put")
class MergesIntoMetadata(Faulty):
    """put merges the config's metadata into the caller's metadata."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        for key, value in (config.get("metadata") or {}).items():
            metadata.setdefault(key, value)
        return super().put(config, checkpoint, metadata, new_versions)


@mutant("arguments.put")
class FillsMetadata(Faulty):
    """put adds the missing entries to the caller's metadata."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        metadata.setdefault("source", "loop")
        metadata.setdefault("parents", {})
        return super().put(config, checkpoint, metadata, new_versions)


@mutant("arguments.put")
class UpgradesCheckpoint(Faulty):
    """put brings the caller's checkpoint to the newest format."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        stored = super().put(config, checkpoint, metadata, new_versions)
        checkpoint["v"] = 4
        checkpoint.pop("pending_sends", None)
        return stored


@mutant("arguments.put")
class EmptiesNewVersions(Faulty):
    """put empties the caller's new_versions."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        stored = super().put(config, checkpoint, metadata, new_versions)
        new_versions.clear()
        return stored


@mutant("arguments.put_writes")
class EmptiesWrites(Faulty):
    """put_writes empties the caller's writes."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, writes, task_id, task_path)
        writes.clear()


@mutant("arguments.put_writes")
class PopsCheckpointOfWrites(Faulty):
    """put_writes removes the checkpoint id from the caller's config."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, writes, task_id, task_path)
        config["configurable"].pop("checkpoint_id")


@mutant("arguments.get_tuple")
class NamesLatest(Faulty):
    """get_tuple writes the id of the latest checkpoint into the caller's config."""

    def get_tuple(self, config: Any) -> Any:
        found = super().get_tuple(config)
        if found is not None:
            config["configurable"].update(found.config["configurable"])
        return found


@mutant("list.filter", "arguments.list")
class EmptiesFilter(Faulty):
    """list empties the caller's filter and returns every checkpoint."""

    def list(self, config: Any, *, filter: Any = None, **narrowing: Any) -> Any:
        if filter:
            filter.clear()
        yield from super().list(config, filter=filter, **narrowing)


@mutant("arguments.list")
class PopsFilter(Faulty):
    """list removes each entry from the caller's filter and filters correctly."""

    def list(self, config: Any, *, filter: Any = None, **narrowing: Any) -> Any:
        wanted = dict([filter.popitem() for _ in range(len(filter))]) if filter else None
        yield from super().list(config, filter=wanted, **narrowing)


@mutant("arguments.list")
class ReordersFilter(Faulty):
    """list moves the source to the end of the caller's filter."""

    def list(self, config: Any, *, filter: Any = None, **narrowing: Any) -> Any:
        if filter and "source" in filter:
            filter["source"] = filter.pop("source")
        yield from super().list(config, filter=filter, **narrowing)


@mutant("list.before.strict", "arguments.list")
class PopsBefore(Faulty):
    """list removes the checkpoint id from the caller's before and ignores it."""

    def list(self, config: Any, *, before: Any = None, **narrowing: Any) -> Any:
        if before:
            before["configurable"].pop("checkpoint_id", None)
        yield from super().list(config, before=before, **narrowing)


@mutant("arguments.list")
class AddsNamespace(Faulty):
    """list adds the root namespace to a config without one, after it has read the config."""

    def list(self, config: Any, **narrowing: Any) -> Any:
        found = [*super().list(config, **narrowing)]
        if config:
            config["configurable"].setdefault("checkpoint_ns", "")
        yield from found


@mutant("arguments.delete_for_runs")
class SortsRuns(Faulty):
    """delete_for_runs sorts the caller's run_ids."""

    def delete_for_runs(self, run_ids: Any) -> None:
        run_ids.sort()
        super().delete_for_runs(run_ids)


@mutant("arguments.prune")
class PopsThreads(Faulty):
    """prune empties the caller's thread_ids."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune(thread_ids, strategy=strategy)
        if isinstance(thread_ids, list):
            thread_ids.clear()


@mutant("arguments.history")
class PopsChannels(Faulty):
    """get_delta_channel_history empties the caller's channels."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        channels.clear()
        return found


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


@mutant("arguments.put")
class VersionsToText(Faulty):
    """put turns the channel_versions of the caller into text."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        versions = checkpoint["channel_versions"]
        stored = {**checkpoint, "channel_versions": {**versions}}
        versions.update({channel: str(version) for channel, version in versions.items()})
        return super().put(config, stored, metadata, new_versions)
