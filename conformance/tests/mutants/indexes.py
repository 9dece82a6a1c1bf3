"""Faults of an index beside the checkpoints: an operation forgets it, or uses it for too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutants.base import Faulty, ModelFault, mutant
from saver_conformance.model import Key, Model

if TYPE_CHECKING:
    from collections.abc import Iterator


class _RunIndex(Faulty):
    """A saver that finds the checkpoints of a run with an index."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.runs: dict[str, set[Key]] = {}

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        stored = super().put(config, checkpoint, metadata, new_versions)
        key = Key(*(str(v) for v in stored["configurable"].values()))
        run = self.run_of(self.model._rows[key].metadata, metadata)
        if run is not None:
            self.note(run, key)
        return stored

    def run_of(self, stored: Any, given: Any) -> str | None:
        """Return the run of a checkpoint."""
        found: str | None = stored.get("run_id")
        return found

    def note(self, run: str, key: Key) -> None:
        """Add a checkpoint to the index."""
        for keys in self.runs.values():
            keys.discard(key)
        self.runs.setdefault(run, set()).add(key)

    def delete_for_runs(self, run_ids: Any) -> None:
        found = {key for run in run_ids for key in self.runs.pop(run, ())}
        self.write("_drop", [key for key in found if key in self.model._rows])


@mutant("runs.put_again")
class IndexKeepsOldRun(_RunIndex):
    """A checkpoint that is put again still belongs to the run of the first put."""

    def note(self, run: str, key: Key) -> None:
        self.runs.setdefault(run, set()).add(key)


@mutant("runs.merged")
class IndexIgnoresConfig(_RunIndex):
    """The index of runs has the run ids of the metadata only, without the config."""

    def run_of(self, stored: Any, given: Any) -> str | None:
        found: str | None = given.get("run_id")
        return found


@mutant("copy.runs")
class IndexIgnoresCopies(_RunIndex):
    """The index of runs does not have the checkpoints of copied threads."""


@mutant("runs.checkpoints")
class IndexIgnoresUpdates(_RunIndex):
    """The index of runs does not have the checkpoints of update_state."""

    def run_of(self, stored: Any, given: Any) -> str | None:
        return None if stored.get("source") == "update" else super().run_of(stored, given)


@mutant("delete_thread.early_writes")
class DeletesWritesByCheckpoint(Faulty):
    """delete_thread keeps the writes that have no checkpoint yet."""

    def delete_thread(self, thread_id: str) -> None:
        with self.current(exclusive=True) as model:
            early = {k: w for k, w in model._writes.items() if k not in model._rows}
        super().delete_thread(thread_id)
        self.model._writes.update(early)


@mutant("copy.early_writes")
class CopiesWritesByCheckpoint(Faulty):
    """copy_thread forgets the writes that have no checkpoint yet."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        super().copy_thread(source_thread_id, target_thread_id)
        kept = {k: w for k, w in self.model._writes.items() if k in self.model._rows}
        self.model._writes = kept


@mutant("copy.existing")
class CopyReplacesThread(Faulty):
    """copy_thread deletes the checkpoints that the target has."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        self.delete_thread(target_thread_id)
        super().copy_thread(source_thread_id, target_thread_id)


@mutant("copy.writes", "copy.early_writes")
class CopyForgetsResume(Faulty):
    """copy_thread forgets the answers to interrupts."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        super().copy_thread(source_thread_id, target_thread_id)
        for key, slots in self.model._writes.items():
            if key.thread == target_thread_id:
                for slot in [s for s, w in slots.items() if w.channel == "__resume__"]:
                    del slots[slot]


@mutant("prune.writes")
class PruneForgetsResume(Faulty):
    """prune forgets the answers to interrupts."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune(thread_ids, strategy=strategy)
        for slots in self.model._writes.values():
            for slot in [s for s, w in slots.items() if w.channel == "__resume__"]:
                del slots[slot]


@mutant("prune.keep_latest")
class PruneSkipsNestedNamespaces(ModelFault):
    """keep_latest keeps every checkpoint of a nested namespace."""

    class OwnModel(Model):
        def ids(self, thread: str, ns: str) -> list[str]:
            found = super().ids(thread, ns)
            return [max(found)] if "|" in ns and found else found


@mutant("prune.deltas")
class SeversSecondDelta(ModelFault):
    """prune keeps the ancestors up to the nearest snapshot of any channel."""

    class OwnModel(Model):
        def _delta_path(self, key: Key) -> Iterator[Key]:
            row = self._rows[key]
            wanted = set(row.metadata.get("counters_since_delta_snapshot") or {})
            wanted -= row.checkpoint["channel_values"].keys()
            for at in self._ancestors(key) if wanted else ():
                yield at
                if wanted & self._rows[at].checkpoint["channel_values"].keys():
                    return


@mutant("history.namespace")
class HistoryOfRoot(Faulty):
    """The history of a channel is always read from the root namespace."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        where = {**config["configurable"], "checkpoint_ns": ""}
        return super().get_delta_channel_history(config={"configurable": where}, channels=channels)
