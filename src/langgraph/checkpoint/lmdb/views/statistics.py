"""Statistics: the totals of a store, its growth, its largest threads and what sharing saves."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.views.plain import json_size
from langgraph.checkpoint.lmdb.views.stores import all_threads

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import KvSaver, StoreStats

LARGEST = 10


@dataclass(frozen=True, slots=True)
class StatisticsView:
    """The statistics of a store."""

    totals: StoreStats
    largest: tuple[tuple[str, int], ...]
    """Ids and bytes of the largest threads."""
    growth: tuple[tuple[str, int, int], ...]
    """For each day, the threads that were created on it, and their bytes today."""
    sizes: tuple[tuple[int, int], ...]
    """Threads by size: the least bytes of each group, a power of four, and the threads in it."""
    value_bytes: int | None
    """Bytes of all values of all checkpoints as JSON, each counted as often as it is held; None if
    values were not read."""

    @property
    def ratio(self) -> float | None:
        """Bytes of the values for each stored byte."""
        stored = self.totals.bytes
        return None if self.value_bytes is None or not stored else self.value_bytes / stored

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as data for JSON."""
        return {
            **asdict(self.totals),
            "largest": [{"thread_id": name, "bytes": size} for name, size in self.largest],
            "growth": [
                {"day": day, "threads": count, "bytes": size} for day, count, size in self.growth
            ],
            "sizes": [{"from_bytes": least, "threads": count} for least, count in self.sizes],
            "value_bytes": self.value_bytes,
            "ratio": self.ratio,
        }


def statistics_of(saver: KvSaver, values: bool = False) -> StatisticsView:
    """Return the statistics of a store, which read the record of every thread.

    Args:
        saver: The saver.
        values: True: also read every value, to tell what sharing and compression save.
    """
    largest: list[tuple[int, str]] = []
    threads: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    groups: Counter[int] = Counter()
    for info in all_threads(saver, details=False):
        day = info.created.date().isoformat()
        threads[day] += 1
        sizes[day] += info.bytes
        groups[max(info.bytes.bit_length() - 1, 0) // 2] += 1
        entry = (info.bytes, info.thread_id)
        if len(largest) < LARGEST:
            heapq.heappush(largest, entry)
        else:
            heapq.heappushpop(largest, entry)
    return StatisticsView(
        totals=saver.stats(),
        largest=tuple((name, size) for size, name in sorted(largest, reverse=True)),
        growth=tuple((day, threads[day], sizes[day]) for day in sorted(threads)),
        sizes=tuple((4**group, groups[group]) for group in range(min(groups), max(groups) + 1))
        if groups
        else (),
        value_bytes=_value_bytes(saver) if values else None,
    )


def _value_bytes(saver: KvSaver) -> int:
    total = 0
    for found in saver.list(None, skip_damaged=True):
        total += sum(map(json_size, found.checkpoint["channel_values"].values()))
        total += sum(json_size(value) for _, _, value in found.pending_writes or ())
    return total
