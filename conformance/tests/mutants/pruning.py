"""Faults in prune."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mutants.base import Faulty, mutant
from saver_conformance.model import Key


@mutant("prune.keep_latest")
class KeepsOnePerThread(Faulty):
    """prune keeps the latest checkpoint of a thread instead of each namespace."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune(thread_ids, strategy=strategy)
        for thread in thread_ids:
            keys = sorted(
                (k for k in self.model.stored() if k.thread == thread), key=lambda k: k.id
            )
            self.model._drop(keys[:-1])


class DropsOthers(Faulty):
    """A saver whose keep_latest deletes the wrong checkpoints of each namespace."""

    def dropped(self, ids: list[str]) -> list[str]:
        """Return the ids to delete, from the ids of a namespace, oldest first."""
        raise NotImplementedError

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        if strategy != "keep_latest":
            super().prune(thread_ids, strategy=strategy)
            return
        for thread in thread_ids:
            for ns in {k.ns for k in self.model.stored() if k.thread == thread}:
                ids = self.dropped(sorted(self.model.ids(thread, ns)))
                self.model._drop([Key(thread, ns, i) for i in ids])


@mutant("prune.keep_latest")
class KeepsTwo(DropsOthers):
    """prune keeps the two latest checkpoints."""

    def dropped(self, ids: list[str]) -> list[str]:
        return ids[:-2]


@mutant("prune.keep_latest")
class KeepsOldest(DropsOthers):
    """prune keeps the oldest checkpoint."""

    def dropped(self, ids: list[str]) -> list[str]:
        return ids[1:]


@mutant("prune.default")
class DeletesByDefault(Faulty):
    """prune without a strategy deletes everything."""

    def prune(self, thread_ids: Any, *, strategy: str = "delete") -> None:
        super().prune(thread_ids, strategy=strategy)

    async def aprune(self, thread_ids: Any, *, strategy: str = "delete") -> None:
        super().prune(thread_ids, strategy=strategy)


@mutant("prune.writes", "graph.prune")
class PrunesWrites(Faulty):
    """prune deletes the pending writes of the kept checkpoints."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune(thread_ids, strategy=strategy)
        for key in [k for k in self.model._writes if k.thread in thread_ids]:
            del self.model._writes[key]


@mutant("prune.delete")
class DeleteKeepsLatest(Faulty):
    """The strategy delete keeps the latest checkpoint."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune(thread_ids, strategy="keep_latest" if strategy == "delete" else strategy)


@mutant("prune.delete")
class DeleteKeepsWrites(Faulty):
    """The strategy delete leaves pending writes behind."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        kept = dict(self.model._writes)
        super().prune(thread_ids, strategy=strategy)
        if strategy == "delete":
            self.model._writes = kept


@mutant("prune.others")
class PrunesEverything(Faulty):
    """prune prunes every thread."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune([k.thread for k in self.model.stored()], strategy=strategy)


@mutant("prune.parent")
class DanglingParent(Faulty):
    """A kept checkpoint has a parent that does not exist."""

    def tuple_of(self, entry: Any) -> Any:
        from dataclasses import replace

        return super().tuple_of(replace(entry, parent=self.model._rows[entry.key].parent))


@mutant("prune.subgraphs")
class KeepsCalls(DropsOthers):
    """prune keeps the namespaces of finished subgraph calls."""

    def dropped(self, ids: list[str]) -> list[str]:
        return ids[:-1]


@mutant("prune.one_string")
class StringIsThreads(Faulty):
    """A str as thread_ids is treated as a sequence of one-letter threads."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune([*thread_ids], strategy=strategy)


@mutant("prune.bad_strategy")
class UnknownStrategyDeletes(Faulty):
    """An unknown strategy deletes the thread."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune(thread_ids, strategy=strategy if strategy == "keep_latest" else "delete")


@mutant("writes.before_checkpoint.kept")
class PrunesEarlyWrites(Faulty):
    """prune deletes the writes of every thread that have no checkpoint yet."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune(thread_ids, strategy=strategy)
        model = self.model
        model._writes = {key: slots for key, slots in model._writes.items() if key in model._rows}


@mutant("prune.delta.again")
class ForgetsWhatWasKept(Faulty):
    """A second prune deletes the deltas that the first one kept."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        tombstones = [key for key, row in self.model._rows.items() if row.is_tombstone]
        super().prune(thread_ids, strategy=strategy)
        for key in tombstones:
            self.model._rows.pop(key, None)


@mutant("prune.deltas")
class PrunedSeedLost(Faulty):
    """prune loses a snapshot of None that a DeltaChannel is rebuilt from."""

    pruned = False

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        super().prune(thread_ids, strategy=strategy)
        self.pruned = True

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        for entry in found.values() if self.pruned else ():
            if entry.get("seed", 1) is None:
                del entry["seed"]
        return found


@mutant("prune.subgraphs")
class NestedCallsStay(Faulty):
    """keep_latest keeps the namespaces of nested subgraph calls."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        rows = self.model._rows.items()
        nested = {key: replace(row) for key, row in rows if "|" in key.ns}
        super().prune(thread_ids, strategy=strategy)
        self.model._rows.update(nested)


@mutant("prune.bad_strategy.raises")
class UnknownStrategyIgnored(Faulty):
    """prune ignores an unknown strategy."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        if strategy in ("keep_latest", "delete"):
            super().prune(thread_ids, strategy=strategy)


@mutant("prune.bad_strategy.raises")
class StrategyCheckedLate(Faulty):
    """prune raises for an unknown strategy only if there is a thread to prune."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        if thread_ids:
            super().prune(thread_ids, strategy=strategy)
