"""The size of a snapshot store, and the time to read from it: `python -m benches.snapshots`.

A task grows by 1 KB a step. LmdbSnapshotStore keeps its versions, and a SQLite table keeps each
version whole, in the way of ASAP's own SQLite store. A call that is timed at different sizes reads
the same data.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import Any

from benches.text import Writer
from benches.units import format_value
from langgraph.checkpoint.lmdb.snapshots import LmdbSnapshotStore, StateSnapshot

_ITEM_SIZE = 1000
_READS = 200


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benches.snapshots", description=__doc__)
    parser.add_argument("--versions", type=int, default=1000, metavar="N")
    count = parser.parse_args().versions
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        ours, whole = measure_sizes(folder, count)
        print(f"{count} versions that grow by 1 KB")
        print(f"  each version whole   {format_value(whole, 'B')}")
        print(f"  LmdbSnapshotStore    {format_value(ours, 'B')}   1/{whole / ours:.0f}")
        early, late = measure_reads(folder, (10, count))
        print("get of the latest version, equal data")
        print(f"  of 10 versions       {format_value(early, 's')}")
        print(f"  of {count:<5} versions    {format_value(late, 's')}   {late / early:.2f}")


def measure_sizes(folder: Path, count: int) -> tuple[int, int]:
    """Return the bytes on disk of our store, and of one that keeps each version whole."""
    writer = Writer("snapshots")
    items: list[dict[str, Any]] = []
    with (
        LmdbSnapshotStore(folder / "growing") as store,
        closing(sqlite3.connect(folder / "whole.sqlite")) as database,
    ):
        database.execute(
            "CREATE TABLE snapshots (task_id TEXT, version INTEGER, data TEXT,"
            " PRIMARY KEY (task_id, version))"
        )
        for version in range(1, count + 1):
            items.append({"step": version, "result": writer.prose(_ITEM_SIZE)})
            data = {"step": version, "items": items, "completed": version == count}
            store.save(_snapshot("growing", version, data))
            row = ("growing", version, json.dumps(data))
            database.execute("INSERT INTO snapshots VALUES (?, ?, ?)", row)
        database.commit()
    return _disk(folder / "growing"), (folder / "whole.sqlite").stat().st_size


def measure_reads(folder: Path, counts: tuple[int, int]) -> list[float]:
    """Return the median seconds of a `get` of the latest version, for each number of versions."""
    medians = []
    with LmdbSnapshotStore(folder / "reads") as store:
        for count in counts:
            for version in range(1, count + 1):
                text = f"{version} of {count} ".ljust(3000, "x")
                store.save(_snapshot(f"task-{count}", version, {"step": version, "text": text}))
        for count in counts:
            times = []
            for _ in range(_READS):
                begin = perf_counter()
                store.get(f"task-{count}")
                times.append(perf_counter() - begin)
            medians.append(statistics.median(times))
    return medians


def _snapshot(task_id: str, version: int, data: dict[str, Any]) -> StateSnapshot:
    return StateSnapshot(
        id=f"{task_id}-{version}",
        task_id=task_id,
        version=version,
        data=data,
        created_at=datetime.now(timezone.utc),
    )


def _disk(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.iterdir())


if __name__ == "__main__":
    main()
