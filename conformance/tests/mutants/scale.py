"""Faults that only large threads, stores or values show."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

from mutants.base import Faulty, mutant, values

_PAGE = 500


@mutant("scale.checkpoints", "scale.threads")
class ListsOnePage(Faulty):
    """list returns the first 500 checkpoints only."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        yield from islice(super().list(*args, **kwargs), _PAGE)


@mutant("scale.checkpoints")
class AsyncListsOnePage(Faulty):
    """alist returns the first 500 checkpoints only."""

    async def alist(self, *args: Any, **kwargs: Any) -> Any:
        for found in islice(super().list(*args, **kwargs), _PAGE):
            yield found


@mutant("scale.delete_thread")
class DeletesOnePage(Faulty):
    """delete_thread deletes the first 500 checkpoints only."""

    def delete_thread(self, thread_id: str) -> None:
        found = [key for key in self.model.stored() if key.thread == thread_id]
        for key in sorted(found)[:_PAGE]:
            self.model._drop([key])


@mutant("scale.runs")
class DeletesOnePageOfRuns(Faulty):
    """delete_for_runs deletes the first 500 runs only."""

    def delete_for_runs(self, run_ids: Any) -> None:
        super().delete_for_runs(run_ids[:_PAGE])


@mutant("scale.copy")
class CopiesOnePage(Faulty):
    """copy_thread copies the newest 500 checkpoints only."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        super().copy_thread(source_thread_id, target_thread_id)
        found = sorted(key for key in self.model.stored() if key.thread == target_thread_id)
        for key in found[:-_PAGE]:
            del self.model._rows[key]


@mutant("scale.prune")
class PrunesOnePage(Faulty):
    """prune deletes at most 500 checkpoints of a thread."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        before = {
            key: replace(row) for key, row in self.model._rows.items() if key.thread in thread_ids
        }
        super().prune(thread_ids, strategy=strategy)
        dropped = sorted(key for key in before if key not in self.model._rows)
        self.model._rows.update({key: before[key] for key in dropped[_PAGE:]})


@mutant("scale.prune")
class PrunesSomeThreads(Faulty):
    """prune ignores the threads after the first 100."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        if isinstance(thread_ids, str):
            raise TypeError(thread_ids)
        super().prune(thread_ids[:100], strategy=strategy)


@mutant("scale.writes")
class WritesOnePage(Faulty):
    """A checkpoint returns at most 1,000 writes."""

    def changed_tuple(self, found: Any) -> Any:
        return found._replace(pending_writes=found.pending_writes[:1000])


@mutant("scale.writes")
class ByteIndex(Faulty):
    """The number of a write is stored in too few bits."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, writes[:_PAGE], task_id, task_path)


@mutant("scale.channels")
class ChannelsOnePage(Faulty):
    """A checkpoint stores at most 1,000 channels."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        kept = dict([*checkpoint["channel_values"].items()][:1000])
        return {**checkpoint, "channel_values": kept}


@mutant("scale.deltas")
class ShortWalk(Faulty):
    """The history ends after 500 ancestors."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        for entry in found.values():
            if len(entry["writes"]) > _PAGE:
                entry["writes"] = entry["writes"][-_PAGE:]  # type: ignore[index]
                entry.pop("seed", None)  # type: ignore[attr-defined]
        return found


def _large(value: Any, limit: int) -> bool:
    return isinstance(value, (str, bytes)) and len(value) > limit


@mutant("scale.values")
class LargeValuesUnreadable(Faulty):
    """A value of more than 1 MB is acknowledged and cannot be read, as in MariaDB."""

    def changed_tuple(self, found: Any) -> Any:
        return values(found, lambda value: None if _large(value, 1_000_000) else value)


@mutant("scale.values")
class LargeWritesCut(Faulty):
    """A write of more than 4 MB is truncated."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        cut = [(c, v[:4_000_000] if _large(v, 4_000_000) else v) for c, v in writes]
        super().put_writes(config, cut, task_id, task_path)
