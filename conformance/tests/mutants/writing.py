"""Faults in put_writes and pending_writes."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, ModelFault, mutant
from saver_conformance.model import SPECIAL_SLOTS, Key, Model


def _writes(found: Any, change: Any) -> Any:
    return found._replace(pending_writes=change(found.pending_writes))


@mutant("writes.values")
class ForgetsNoneWrites(Faulty):
    """Writes whose value is None are not stored."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, [w for w in writes if w[1] is not None], task_id, task_path)


@mutant("writes.values")
class ForgetsTask(Faulty):
    """Pending writes have no task id."""

    def changed_tuple(self, found: Any) -> Any:
        return _writes(found, lambda writes: [("", c, v) for _, c, v in writes])


@mutant("writes.own_checkpoint")
class WritesOfThread(Faulty):
    """Pending writes include the writes of every checkpoint of the thread."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        where = config["configurable"]
        for identifier in self.model.ids(str(where["thread_id"]), where["checkpoint_ns"]):
            at = {"configurable": {**where, "checkpoint_id": identifier}}
            super().put_writes(at, writes, task_id, task_path)


@mutant("writes.own_checkpoint")
class WritesOfRoot(Faulty):
    """Writes to a namespace are stored in the root namespace."""

    def put_writes(self, config: Any, *args: Any, **kwargs: Any) -> None:
        where = {**config["configurable"], "checkpoint_ns": ""}
        super().put_writes({"configurable": where}, *args, **kwargs)


@mutant("writes.order.path", "writes.in_list", "copy.writes", "prune.writes")
class IgnoresPath(Faulty):
    """Writes are ordered by task id and ignore the path."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, writes, task_id)


@mutant("writes.order.task", "concurrent.writes")
class OrderOfArrival(Faulty):
    """Writes are returned in the order of insertion."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.count = 0

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        self.count += 1
        super().put_writes(config, writes, task_id, f"{self.count:09}")


@mutant("writes.order.index", "history.order", "reopen.state", disk=True)
class TextIndex(Faulty):
    """Writes of a task are ordered by their number as text, so that 10 precedes 2."""

    def changed_tuple(self, found: Any) -> Any:
        return _writes(found, self.shuffled)

    def shuffled(self, writes: Any) -> Any:
        groups: dict[str, list[Any]] = {}
        for write in writes:
            groups.setdefault(write[0], []).append(write)
        found = []
        for group in groups.values():
            special = [w for w in group if w[1] in SPECIAL_SLOTS]
            plain = [w for w in group if w[1] not in SPECIAL_SLOTS]
            order = sorted(range(len(plain)), key=str)
            found += special + [plain[n] for n in order]
        return found

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        return {k: {**v, "writes": self.shuffled(v["writes"])} for k, v in found.items()}


@mutant("writes.order.special")
class SpecialLast(Faulty):
    """Special writes follow the regular writes of their task."""

    def changed_tuple(self, found: Any) -> Any:
        return _writes(
            found, lambda writes: sorted(writes, key=lambda w: (w[0], w[1] in SPECIAL_SLOTS))
        )


@mutant("writes.first_wins")
class LastWins(Faulty):
    """A regular write replaces the earlier write of its slot."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        where = config["configurable"]
        key = (str(where["thread_id"]), where["checkpoint_ns"], where["checkpoint_id"])
        slots = self.model._writes.get(key, {})  # type: ignore[call-overload]
        for position, (channel, _) in enumerate(writes):
            if channel not in SPECIAL_SLOTS:
                slots.pop((task_id, position), None)
        super().put_writes(config, writes, task_id, task_path)


@mutant("writes.first_wins", "concurrent.same_write")
class Duplicates(Faulty):
    """A repeated write is stored twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.again: dict[Any, int] = {}

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        key = (str(config), task_id)
        seen = self.again.get(key, 0)
        self.again[key] = seen + len(writes)
        padding = [("__padding__", None)] * seen
        super().put_writes(config, [*padding, *writes], task_id, task_path)

    def changed_tuple(self, found: Any) -> Any:
        return _writes(found, lambda writes: [w for w in writes if w[1] != "__padding__"])


@mutant("writes.last_wins")
class SpecialFirstWins(Faulty):
    """A special write does not replace the earlier one."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        found = self.get_tuple(config)
        known = {(t, c) for t, c, _ in (found.pending_writes if found else ())}
        kept = [w for w in writes if w[0] not in SPECIAL_SLOTS or (task_id, w[0]) not in known]
        super().put_writes(config, kept, task_id, task_path)


@mutant("writes.mixed_call")
class DecidesPerCall(Faulty):
    """A special write replaces the earlier one only in a call without regular writes."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        found = self.get_tuple(config)
        known = {(t, c) for t, c, _ in (found.pending_writes if found else ())}
        if not all(channel in SPECIAL_SLOTS for channel, _ in writes):
            new = [w for w in writes if w[0] not in SPECIAL_SLOTS or (task_id, w[0]) not in known]
            writes = new
        super().put_writes(config, writes, task_id, task_path)


@mutant("writes.same_channel")
class OnePerChannel(Faulty):
    """Of several writes of a task to one channel only the last is kept."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, [*dict(writes).items()], task_id, task_path)


@mutant("writes.before_checkpoint")
class DropsEarlyWrites(Faulty):
    """Writes that arrive before their checkpoint are dropped."""

    def put_writes(self, config: Any, *args: Any, **kwargs: Any) -> None:
        if self.get_tuple(config) is not None:
            super().put_writes(config, *args, **kwargs)


@mutant("writes.before_checkpoint")
class PutClearsWrites(Faulty):
    """Putting a checkpoint deletes the writes that arrived before it."""

    def put(self, config: Any, checkpoint: Any, *args: Any) -> Any:
        where = config["configurable"]
        key = (str(where["thread_id"]), where["checkpoint_ns"], checkpoint["id"])
        self.model._writes.pop(key, None)  # type: ignore[call-overload]
        return super().put(config, checkpoint, *args)


@mutant("writes.after_delete", "writes.before_checkpoint")
class WritesMakeCheckpoints(Faulty):
    """Writes without a checkpoint create one."""

    def put_writes(self, config: Any, *args: Any, **kwargs: Any) -> None:
        if self.get_tuple(config) is None:
            where = dict(config["configurable"])
            checkpoint = {"v": 4, "id": where.pop("checkpoint_id"), "ts": ""}
            checkpoint |= {"channel_values": {}, "channel_versions": {}, "versions_seen": {}}
            self.put({"configurable": where}, {**checkpoint, "updated_channels": None}, {}, {})
        super().put_writes(config, *args, **kwargs)


@mutant("writes.isolated")
class KeepsWrittenValues(Faulty):
    """Written values are stored by reference until they are read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.live: dict[str, Any] = {}

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, writes, task_id, task_path)
        self.live[task_id] = writes

    def changed_tuple(self, found: Any) -> Any:
        return _writes(
            found,
            lambda writes: [
                (t, c, self.decode(self.encode(dict(self.live[t]).get(c, v)))) for t, c, v in writes
            ],
        )


@mutant("writes.task_path")
class NoTaskPath(Faulty):
    """put_writes has no parameter for the task path."""

    def put_writes(self, config: Any, writes: Any, task_id: str) -> None:  # type: ignore[override]
        super().put_writes(config, writes, task_id)

    async def aput_writes(self, config: Any, writes: Any, task_id: str) -> None:  # type: ignore[override]
        self.put_writes(config, writes, task_id)


@mutant("writes.empty")
class EmptyWritesRaise(Faulty):
    """An empty sequence of writes raises an error."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        _ = writes[0]
        super().put_writes(config, writes, task_id, task_path)


@mutant("writes.in_list")
class ListWithoutWrites(Faulty):
    """Listed tuples have no pending writes."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        for found in super().list(*args, **kwargs):
            yield found._replace(pending_writes=[])


@mutant("writes.unserializable")
class SkipsUnserializableWrites(Faulty):
    """A write that cannot be serialized is silently dropped."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        kept = []
        for channel, value in writes:
            try:
                self.encode(value)
            except TypeError:
                continue
            kept.append((channel, value))
        super().put_writes(config, kept, task_id, task_path)


@mutant("writes.unserializable.whole")
class StoresWritesOneByOne(Faulty):
    """Writes before one that cannot be serialized are stored."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        for count in range(1, len(writes) + 1):
            super().put_writes(config, writes[:count], task_id, task_path)


@mutant("writes.values")
class WritesHaveNoSets(Faulty):
    """A write that is a set is returned as a list."""

    def changed_tuple(self, found: Any) -> Any:
        writes = [(t, c, [*v] if isinstance(v, set) else v) for t, c, v in found.pending_writes]
        return found._replace(pending_writes=writes)


@mutant("graph.failure")
class ForgetsRegularWrites(Faulty):
    """Writes of finished tasks are not stored, only interrupts and errors."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        kept = [w for w in writes if w[0] in SPECIAL_SLOTS]
        super().put_writes(config, kept, task_id, task_path)


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
