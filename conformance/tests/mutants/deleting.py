"""Faults in delete_thread, delete_for_runs and copy_thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutants.base import Faulty, ModelFault, mutant
from saver_conformance.model import Model

if TYPE_CHECKING:
    from saver_conformance.model import Key


@mutant("spec.capabilities")
class NoDelete(Faulty):
    """delete_thread is not implemented."""

    def delete_thread(self, thread_id: str) -> None:
        raise NotImplementedError


@mutant("spec.capabilities")
class NoAsyncPrune(Faulty):
    """prune is implemented, but aprune is not."""

    async def aprune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        raise NotImplementedError


@mutant("delete_thread.checkpoints")
class DeletesRootOnly(Faulty):
    """delete_thread deletes the root namespace only."""

    def delete_thread(self, thread_id: str) -> None:
        rows = self.model._rows
        for key in [k for k in rows if k.thread == str(thread_id) and k.ns == ""]:
            del rows[key]


@mutant("delete_thread.checkpoints")
class DeletesLatestOnly(Faulty):
    """delete_thread deletes one checkpoint only."""

    def delete_thread(self, thread_id: str) -> None:
        rows = self.model._rows
        for key in [k for k in rows if k.thread == str(thread_id)][-1:]:
            del rows[key]


@mutant("delete_thread.others")
class DeletesPrefix(Faulty):
    """delete_thread deletes every thread whose id starts with the given id."""

    def delete_thread(self, thread_id: str) -> None:
        for thread in {k.thread for k in self.model._rows if k.thread.startswith(str(thread_id))}:
            super().delete_thread(thread)


@mutant("delete_thread.others")
class DeletesPattern(Faulty):
    """delete_thread interprets the thread id as a pattern."""

    def delete_thread(self, thread_id: str) -> None:
        import re

        pattern = (
            re.escape(str(thread_id)).replace("%", ".*").replace(r"\*", ".*").replace("_", ".")
        )
        for thread in {k.thread for k in self.model._rows if re.fullmatch(pattern, k.thread)}:
            super().delete_thread(thread)


@mutant("delete_thread.leftovers")
class LeavesWrites(Faulty):
    """delete_thread leaves pending writes behind."""

    def delete_thread(self, thread_id: str) -> None:
        kept = dict(self.model._writes)
        super().delete_thread(thread_id)
        self.model._writes = kept


@mutant("delete_thread.unknown")
class UnknownThreadRaises(Faulty):
    """Deleting an unknown thread raises KeyError."""

    def delete_thread(self, thread_id: str) -> None:
        if not any(k.thread == str(thread_id) for k in self.model._rows):
            raise KeyError(thread_id)
        super().delete_thread(thread_id)


@mutant("delete_thread.unknown")
class DeletedStaysDeleted(Faulty):
    """A deleted thread cannot be used again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deleted: set[str] = set()

    def delete_thread(self, thread_id: str) -> None:
        self.deleted.add(str(thread_id))
        super().delete_thread(thread_id)

    def get_tuple(self, config: Any) -> Any:
        if str(config["configurable"]["thread_id"]) in self.deleted:
            return None
        return super().get_tuple(config)


def _runs(model: Model, wanted: Any) -> list[Key]:
    return [k for k, row in model._rows.items() if wanted(row.metadata.get("run_id"))]


@mutant("runs.checkpoints")
class DeletesRunPrefix(Faulty):
    """delete_for_runs deletes every run whose id starts with a given id."""

    def delete_for_runs(self, run_ids: Any) -> None:
        found = _runs(self.model, lambda r: r and any(r.startswith(i) for i in run_ids if i))
        self.model._drop(found)


@mutant("runs.checkpoints")
class FirstRunOnly(Faulty):
    """delete_for_runs deletes the first run only."""

    def delete_for_runs(self, run_ids: Any) -> None:
        super().delete_for_runs([*run_ids][:1])


@mutant("runs.checkpoints")
class RunsOfRootOnly(Faulty):
    """delete_for_runs deletes in the root namespace only."""

    def delete_for_runs(self, run_ids: Any) -> None:
        self.model._drop([k for k in _runs(self.model, lambda r: r in set(run_ids)) if k.ns == ""])


@mutant("runs.values", "prune.values")
class LosesInherited(Faulty):
    """Deleting a run, or pruning, loses the values that deleted checkpoints stored."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        self.new = getattr(self, "new", {})
        self.new[checkpoint["id"]] = set(new_versions)
        return super().put(config, checkpoint, metadata, new_versions)

    def trim(self) -> None:
        for key, row in self.model._rows.items():
            kept = row.checkpoint["channel_values"]
            new = self.new.get(key.id, set())
            row.checkpoint["channel_values"] = {k: v for k, v in kept.items() if k in new}

    def delete_for_runs(self, run_ids: Any) -> None:
        super().delete_for_runs(run_ids)
        self.trim()

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune(thread_ids, strategy=strategy)
        self.trim()


@mutant("runs.leftovers", "prune.leftovers")
class LeavesWritesOfSome(Faulty):
    """Deleting a run, or pruning, leaves pending writes behind."""

    def delete_for_runs(self, run_ids: Any) -> None:
        kept = dict(self.model._writes)
        super().delete_for_runs(run_ids)
        self.model._writes = kept

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        kept = dict(self.model._writes)
        super().prune(thread_ids, strategy=strategy)
        self.model._writes = kept


@mutant("runs.unknown")
class NoRunIsARun(Faulty):
    """Deleting an unknown run deletes the checkpoints without a run."""

    def delete_for_runs(self, run_ids: Any) -> None:
        wanted = {*run_ids}
        if wanted and not _runs(self.model, lambda r: r in wanted):
            self.model._drop(_runs(self.model, lambda r: r is None))
        super().delete_for_runs(run_ids)


@mutant("runs.delta", "prune.delta")
class DropsDelta(Faulty):
    """Deleting a run, or pruning, deletes the ancestors that a DeltaChannel needs."""

    def drop_tombstones(self) -> None:
        rows, writes = self.model._rows, self.model._writes
        for key in [k for k, row in rows.items() if row.is_tombstone]:
            del rows[key]
            writes.pop(key, None)

    def delete_for_runs(self, run_ids: Any) -> None:
        super().delete_for_runs(run_ids)
        self.drop_tombstones()

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune(thread_ids, strategy=strategy)
        self.drop_tombstones()


@mutant("copy.checkpoints", "copy.delta")
class CopiesLatest(Faulty):
    """copy_thread copies the latest checkpoint of each namespace only."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        super().copy_thread(source_thread_id, target_thread_id)
        self.prune([target_thread_id])
        for key in [k for k, row in self.model._rows.items() if row.is_tombstone]:
            del self.model._rows[key]


@mutant("copy.checkpoints")
class CopiesRoot(Faulty):
    """copy_thread copies the root namespace only."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        super().copy_thread(source_thread_id, target_thread_id)
        for key in [k for k in self.model._rows if k.thread == target_thread_id and k.ns]:
            del self.model._rows[key]


@mutant("copy.checkpoints")
class MovesThread(Faulty):
    """copy_thread deletes the source thread."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        super().copy_thread(source_thread_id, target_thread_id)
        self.delete_thread(source_thread_id)


@mutant("copy.writes", "graph.copy")
class CopiesNoWrites(Faulty):
    """copy_thread copies no pending writes."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        super().copy_thread(source_thread_id, target_thread_id)
        for key in [k for k in self.model._writes if k.thread == target_thread_id]:
            del self.model._writes[key]


@mutant("copy.independent")
class CopyIsAlias(Faulty):
    """copy_thread shares the pending writes of both threads."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        super().copy_thread(source_thread_id, target_thread_id)
        writes = self.model._writes
        for key in [k for k in writes if k.thread == target_thread_id]:
            writes[key] = writes[key._replace(thread=source_thread_id)]


@mutant("copy.independent")
class CopyDiesWithSource(Faulty):
    """Deleting the source of a copy deletes the copy."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        super().copy_thread(source_thread_id, target_thread_id)
        self.copies = {source_thread_id: target_thread_id}

    def delete_thread(self, thread_id: str) -> None:
        super().delete_thread(thread_id)
        if thread_id in getattr(self, "copies", {}):
            super().delete_thread(self.copies[thread_id])


@mutant("copy.independent")
class CopyIsPrunedWithSource(ModelFault):
    """A copy shares its checkpoints with the source, so that pruning one prunes the other."""

    class OwnModel(Model):
        def copy_thread(self, source: str, target: str) -> None:
            super().copy_thread(source, target)
            for key in [k for k in self._rows if k.thread == target]:
                self._rows[key] = self._rows.get(key._replace(thread=source), self._rows[key])


@mutant("copy.delta")
class CopiesVisibleOnly(ModelFault):
    """copy_thread does not copy what prune kept for a delta channel."""

    class OwnModel(Model):
        def copy_thread(self, source: str, target: str) -> None:
            super().copy_thread(source, target)
            rows = self._rows.items()
            for key in [k for k, row in rows if k.thread == target and row.is_tombstone]:
                del self._rows[key]


@mutant("copy.unknown")
class CopyUnknownRaises(Faulty):
    """Copying an unknown thread raises KeyError."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        if not any(k.thread == source_thread_id for k in self.model._rows):
            raise KeyError(source_thread_id)
        super().copy_thread(source_thread_id, target_thread_id)


@mutant("copy.itself")
class CopyMoves(Faulty):
    """copy_thread of a thread onto itself deletes it."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        if source_thread_id == target_thread_id:
            self.delete_thread(source_thread_id)
        else:
            super().copy_thread(source_thread_id, target_thread_id)
