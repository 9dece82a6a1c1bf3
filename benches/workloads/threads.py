"""Durable throughput of many threads, each on its own conversation."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

from benches.model import Bench, Metric, Result, Workload
from benches.records import ThreadWriter
from benches.text import Slices

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

_COUNTS = (1, 2, 4, 8, 16)
_SECONDS, _QUICK_SECONDS = 3.0, 0.3
_TEXT_SIZE = 500


def _work(
    saver: BaseCheckpointSaver[Any], name: str, barrier: Barrier, seconds: float
) -> list[float]:
    """Run put, put_writes and get until the time is over; return the seconds of each round."""
    texts = Slices(name, _TEXT_SIZE)
    thread = ThreadWriter(saver, name)
    times: list[float] = []
    barrier.wait()
    stop = time.perf_counter() + seconds
    while (start := time.perf_counter()) < stop:
        text = texts.next()
        thread.put(text)
        thread.put_writes(text)
        found = saver.get_tuple(thread.config)
        assert found is not None
        times.append(time.perf_counter() - start)
    return times


def _run(bench: Bench) -> Result:
    seconds = bench.size(_SECONDS, _QUICK_SECONDS)
    result = Result(series={"throughput": []})
    with bench.open() as saver:
        for position, count in enumerate(_COUNTS):
            barrier = Barrier(count)
            with ThreadPoolExecutor(count) as pool:
                workers = [
                    pool.submit(_work, saver, f"{count}-{number}", barrier, seconds)
                    for number in range(count)
                ]
            times = [took for worker in workers for took in worker.result()]
            result.series["throughput"].append((count, len(times) / seconds))
            bench.progress((position + 1) / len(_COUNTS))
    result.metrics["throughput_1"] = result.series["throughput"][0][1]
    result.metrics["throughput"] = result.series["throughput"][-1][1]
    result.latency("round", times)
    return result


WORKLOAD = Workload(
    name="threads",
    title=f"Threads: durable put + put_writes + get of 0.5 KB on {_COUNTS[-1]} threads",
    metrics=(
        Metric("throughput_1", "1 thread", "1/s"),
        Metric("throughput", f"{_COUNTS[-1]} threads", "1/s"),
        Metric("round_p50", "round p50", "s"),
        Metric("round_p99", "round p99", "s"),
    ),
    run=_run,
)
