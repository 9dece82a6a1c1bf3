"""Faults of slots, paths and large writes, and of ids that a store orders or combines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mutants.base import Faulty, ModelFault, mutant, values
from saver_conformance.model import SPECIAL_SLOTS, Key, Model

if TYPE_CHECKING:
    from collections.abc import Iterator


@mutant("writes.slots")
class CountsRegularWrites(Faulty):
    """The slot of a regular write is its position among the regular writes of the call."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        ordered = sorted(writes, key=lambda write: write[0] in SPECIAL_SLOTS)
        super().put_writes(config, ordered, task_id, task_path)


@mutant("writes.slots")
class SlotForEachChannel(ModelFault):
    """Writes to two channels never use the same slot."""

    class OwnModel(Model):
        def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
            where = config["configurable"]
            key = Key(str(where["thread_id"]), where["checkpoint_ns"], where["checkpoint_id"])
            used = self._writes.get(key, {})
            for position, (channel, value) in enumerate(writes):
                other = Model()
                other.put_writes(config, [*writes[:position], (channel, value)], task_id, task_path)
                [write] = [*other._writes[key].values()][-1:]
                if write.slot < 0 or (task_id, write.slot, channel) not in used:
                    used[task_id, write.slot, channel] = write  # type: ignore[index]
            self._writes[key] = used


@mutant("writes.path_kept")
class MovesTask(ModelFault):
    """A later call with another path moves every write of the task."""

    class OwnModel(Model):
        def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
            super().put_writes(config, writes, task_id, task_path)
            for slots in self._writes.values():
                for slot, write in slots.items():
                    if write.task == task_id:
                        slots[slot] = replace(write, path=task_path)


@mutant("writes.large")
class LargeWritesUnreadable(Faulty):
    """A write of more than a megabyte is acknowledged and cannot be read, as in MariaDB."""

    def changed_tuple(self, found: Any) -> Any:
        if any(isinstance(v, str) and len(v) > 1_000_000 for _, _, v in found.pending_writes):
            raise ValueError("Invalid \\escape")
        return found


@mutant("put.values.lengths")
class LosesEndOfFullPages(Faulty):
    """The last character of a text is lost if the serialized text fills its last page exactly."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        def cut(value: Any) -> Any:
            full = isinstance(value, str) and len(self.encode(value)[1]) % 4096 == 0
            return value[:-1] if full else value

        changed = {k: cut(v) for k, v in checkpoint["channel_values"].items()}
        return {**checkpoint, "channel_values": changed}


@mutant("order.as_text")
class LatestIgnoresCase(Faulty):
    """The latest checkpoint is the one whose id is greatest in lower case."""

    def get_tuple(self, config: Any) -> Any:
        where = config["configurable"]
        ids = self.model.ids(str(where["thread_id"]), where.get("checkpoint_ns") or "")
        if ids and not where.get("checkpoint_id"):
            config = {"configurable": {**where, "checkpoint_id": max(ids, key=str.lower)}}
        return super().get_tuple(config)


@mutant("identity.apart.checkpoint")
class TrimsParents(Faulty):
    """Spaces at the end of a parent's id are lost."""

    def put(self, config: Any, *args: Any) -> Any:
        where = dict(config["configurable"])
        if "checkpoint_id" in where:
            where["checkpoint_id"] = where["checkpoint_id"].rstrip()
        return super().put({**config, "configurable": where}, *args)


@mutant("identity.apart.channel")
class RefusesChannelsTogether(Faulty):
    """put raises if the names of two channels differ in case only."""

    def put(self, config: Any, checkpoint: Any, *args: Any) -> Any:
        names = [name.casefold() for name in checkpoint["channel_values"]]
        if len(set(names)) < len(names):
            raise KeyError("UNIQUE constraint failed")
        return super().put(config, checkpoint, *args)


@mutant("versions.increase")
class VersionsWrap(Faulty):
    """The version after 100 is 1."""

    def get_next_version(self, current: int | None, channel: None) -> int:
        return (current or 0) % 100 + 1


@mutant("put.values.text")
class NormalizesNewlines(Faulty):
    """A text with CR and LF is returned with LF only."""

    def changed_tuple(self, found: Any) -> Any:
        return values(found, lambda v: v.replace("\r\n", "\n") if isinstance(v, str) else v)


@mutant("put.values.rich")
class FrozensetsThaw(Faulty):
    """A frozenset is returned as a set."""

    def changed_tuple(self, found: Any) -> Any:
        return values(found, lambda v: set(v) if isinstance(v, frozenset) else v)


@mutant("put.fork", "branch.same_version")
class SharesWithParent(Faulty):
    """A channel with the version of the parent's channel gets the parent's value."""

    def put(self, config: Any, checkpoint: Any, *args: Any) -> Any:
        parent = super().get_tuple(config) if config["configurable"].get("checkpoint_id") else None
        if parent is not None:
            shared = {
                channel: value
                for channel, value in parent.checkpoint["channel_values"].items()
                if checkpoint["channel_versions"].get(channel)
                == parent.checkpoint["channel_versions"].get(channel)
            }
            kept = checkpoint["channel_values"]
            new = {k: shared.get(k, v) for k, v in kept.items()}
            checkpoint = {**checkpoint, "channel_values": new}
        return super().put(config, checkpoint, *args)


@mutant("list.paused.threads")
class ListLocksOtherThreads(Faulty):
    """list holds a lock that its own thread may take again."""

    def list(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with self.lock:
            yield from super().list(*args, **kwargs)


@mutant("list.filter.types")
class FilterComparesTypes(Faulty):
    """A filter tells 1, 1.0 and True apart."""

    def list(self, config: Any, *, limit: Any = None, filter: Any = None, **kw: Any) -> Any:
        found = [
            item
            for item in super().list(config, filter=filter, **kw)
            if all(type(item.metadata.get(k)) is type(v) for k, v in (filter or {}).items())
        ]
        yield from found[:limit]


@mutant("list.filter.subset")
class FilterEmptyMatches(Faulty):
    """An empty dict in a filter matches every value."""

    def list(self, config: Any, *, filter: Any = None, **kw: Any) -> Any:
        kept = {k: v for k, v in (filter or {}).items() if v != {}}
        yield from super().list(config, filter=kept, **kw)


@mutant("writes.order.path")
class PathsByPart(ModelFault):
    """Task paths are ordered by their parts between the commas."""

    class OwnModel(Model):
        def _pending(self, key: Key) -> list[tuple[str, str, Any]]:
            slots = self._writes.get(key, {}).values()
            ordered = sorted(slots, key=lambda w: (w.path.split(", "), w.task, w.slot))
            return [(w.task, w.channel, self.clone(w.value)) for w in ordered]
