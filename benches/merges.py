"""The merges of the log: `python -m benches.merges`.

It writes small checkpoints of many threads, and measures how long each merge stops the writers.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from pathlib import Path
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

from langgraph.checkpoint.base import CheckpointMetadata, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6

from benches.units import format_value
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.kv.log.store import LogStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.runnables import RunnableConfig

PUTS = 10_000
THREADS = 1_000
_TEXT_SIZE = 500


class Merge(NamedTuple):
    """One merge. Times are in seconds."""

    wall: float
    """Time that writers waited."""
    processor: float
    """Processor time of the merge."""
    keys: int


def measure(path: Path, puts: int, threads: int) -> list[Merge]:
    """Store checkpoints of random threads durably; return the merges."""
    found: list[Merge] = []
    merge = LogStore._merge

    def timed(store: LogStore, epoch: Any, changes: Any, **options: Any) -> None:
        keys = len(epoch.overlay) + len(changes)
        wall, processor = perf_counter(), thread_time()
        merge(store, epoch, changes, **options)
        found.append(Merge(perf_counter() - wall, thread_time() - processor, keys))

    with patch.object(LogStore, "_merge", timed), LmdbSaver(path) as saver:
        for config, text, step in _calls(puts, threads):
            checkpoint = empty_checkpoint()
            checkpoint["id"] = str(uuid6(clock_seq=step))
            checkpoint["channel_values"] = {"text": text}
            checkpoint["channel_versions"] = {"text": step + 1}
            metadata = CheckpointMetadata(source="loop", step=step, parents={})
            config.update(saver.put(config, checkpoint, metadata, {"text": step + 1}))
    return [one for one in found if one.keys]


def _calls(puts: int, threads: int) -> Iterator[tuple[RunnableConfig, str, int]]:
    chance = random.Random(1)
    configs: list[RunnableConfig] = [
        {"configurable": {"thread_id": f"thread {number}", "checkpoint_ns": ""}}
        for number in range(threads)
    ]
    for step in range(puts):
        text = "".join(chance.choices("abcdefgh ijklmnop", k=_TEXT_SIZE))
        yield chance.choice(configs), text, step


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benches.merges", description=__doc__)
    parser.add_argument("--puts", type=int, default=PUTS)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        merges = measure(Path(folder) / "store", arguments.puts, arguments.threads)
    print(f"{len(merges)} merges of {arguments.puts} puts")
    print(f"keys, at most: {max(one.keys for one in merges)}")
    for name, times in (
        ("writers wait", [one.wall for one in merges]),
        ("processor time", [one.processor for one in merges]),
    ):
        median, most = statistics.median(times), max(times)
        print(f"{name}: median {format_value(median, 's')}, most {format_value(most, 's')}")


if __name__ == "__main__":
    main()
