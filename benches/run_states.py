"""The index of run states: `python -m benches.run_states`.

It measures the time to find ten failed runs among few and many threads, and what the index adds to
a durable put. Calls alternate between the stores that are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata
from langgraph.checkpoint.base.id import uuid6
from langgraph.types import Interrupt

from benches.units import format_value
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.engine import states
from langgraph.checkpoint.lmdb.workflows import find_failed_workflows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_core.runnables import RunnableConfig

THREADS = (1_000, 100_000)
FAILED = 10
WAITING_OF = 10
"""One of so many other threads waits for an answer; the rest is complete."""
SEARCHES = 50
PUTS = 2_000
_CHANNEL = "branch:to:work"
_TEXT_SIZE = 500


class Run:
    """A run that is put without a graph: each checkpoint is the child of the one before."""

    def __init__(self, saver: LmdbSaver, thread_id: str) -> None:
        self._saver = saver
        self._step = 0
        self.config: RunnableConfig = {
            "configurable": {"thread_id": thread_id, "checkpoint_ns": ""}
        }

    def put(self, text: str, *, is_due: bool) -> None:
        """Store a checkpoint that a task follows, if `is_due` is true."""
        self._step += 1
        versions: dict[str, Any] = {"text": self._step, _CHANNEL: self._step}
        values: dict[str, Any] = {"text": text, **({_CHANNEL: None} if is_due else {})}
        checkpoint = Checkpoint(
            v=4,
            id=str(uuid6(clock_seq=self._step)),
            ts=datetime.now(timezone.utc).isoformat(),
            channel_values=values,
            channel_versions=versions,
            versions_seen={"__input__": {}, "work": {_CHANNEL: self._step - is_due}},
            updated_channels=[*versions],
        )
        metadata = CheckpointMetadata(source="loop", step=self._step, parents={})
        self.config = self._saver.put(self.config, checkpoint, metadata, versions)

    def stop(self, channel: str, value: Any) -> None:
        """Store the error or the interrupt of the task that follows."""
        self._saver.put_writes(self.config, [(channel, value)], task_id="task")


def measure_searches(folder: Path) -> list[float]:
    """Return the median seconds to find the failed runs, for each number of threads."""
    with ExitStack() as stack:
        savers = []
        for count in THREADS:
            path = folder / f"{count}"
            with LmdbSaver(path, sync="off") as saver:
                _fill(saver, count)
            savers.append(stack.enter_context(LmdbSaver(path, cache_size=0)))
        times: list[list[float]] = [[] for _ in savers]
        for _ in range(SEARCHES):
            for saver, taken in zip(savers, times, strict=True):
                start = perf_counter()
                found = find_failed_workflows(saver, 0)
                taken.append(perf_counter() - start)
                assert len(found) == FAILED
    return [*map(statistics.median, times)]


def _fill(saver: LmdbSaver, count: int) -> None:
    for number in range(count):
        run = Run(saver, f"thread-{number:06}")
        is_failed = number % (count // FAILED) == 0
        is_waiting = number % WAITING_OF == 1
        run.put("text", is_due=is_failed or is_waiting)
        if is_failed:
            run.stop("__error__", "ValueError('failed')")
        elif is_waiting:
            run.stop("__interrupt__", [Interrupt("Continue?", id="question")])


def measure_puts(folder: Path, is_due: Callable[[int], bool]) -> tuple[float, float]:
    """Return the median seconds of a durable put, without and with the index.

    Args:
        folder: The folder of the stores.
        is_due: Function of the number of a put that returns whether a task follows it.
    """
    with ExitStack() as stack:
        plain, indexed = (
            Run(stack.enter_context(LmdbSaver(folder / name)), "thread")
            for name in ("plain", "indexed")
        )
        times: dict[Run, list[float]] = {plain: [], indexed: []}
        for number in range(PUTS):
            text = os.urandom(_TEXT_SIZE // 2).hex()
            for run in (plain, indexed) if number % 2 else (indexed, plain):
                with ExitStack() as switch:
                    if run is plain:
                        switch.enter_context(_without_index())
                    start = perf_counter()
                    run.put(text, is_due=is_due(number))
                    times[run].append(perf_counter() - start)
    return statistics.median(times[plain]), statistics.median(times[indexed])


@contextmanager
def _without_index() -> Iterator[None]:
    """Let each put take its run for complete without looking, so that there are no entries."""
    with (
        patch("langgraph.checkpoint.lmdb.operations.run_states.of_new", lambda _: states.COMPLETE),
        patch("langgraph.checkpoint.lmdb.engine.writes.has_more_tasks", lambda *_: False),
    ):
        yield


def main() -> None:
    """Measure, and print the figures."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        few, many = measure_searches(Path(folder))
        print(f"find {FAILED} failed runs among {THREADS[0]:,} threads: {format_value(few, 's')}")
        print(f"find {FAILED} failed runs among {THREADS[1]:,} threads: {format_value(many, 's')}")
        print(f"ratio: {many / few:.2f}")
    steady: Callable[[int], bool] = lambda _: True  # noqa: E731
    changing: Callable[[int], bool] = lambda number: number % 2 == 0  # noqa: E731
    for name, is_due in (
        ("in the middle of a run", steady),
        ("that starts or ends a run", changing),
    ):
        with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
            plain, indexed = measure_puts(Path(folder), is_due)
        print(
            f"durable put {name}: {format_value(plain, 's')} without the index, "
            f"{format_value(indexed, 's')} with it: {(indexed / plain - 1) * 100:+.1f} %"
        )


if __name__ == "__main__":
    main()
