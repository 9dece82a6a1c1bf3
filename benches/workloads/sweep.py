"""Deleting expired checkpoints, and the effect on writers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from benches.measure import elapsed, latencies
from benches.model import Bench, Metric, Result, UnsupportedError, Workload
from benches.records import ThreadWriter
from benches.text import Slices

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

_CHECKPOINTS = 10
_THREADS, _QUICK_THREADS = 5000, 200
_PUTS, _QUICK_PUTS = 1000, 100
_TEXT_SIZE = 500
_TTL_MINUTES = 0.001


def _fill(saver: BaseCheckpointSaver[Any], names: list[str]) -> None:
    texts = Slices("sweep", _TEXT_SIZE)
    for name in names:
        writer = ThreadWriter(saver, name)
        for _ in range(_CHECKPOINTS):
            writer.put(texts.next())


def _expire(saver: Any, names: list[str]) -> None:
    for name in names:
        saver.set_ttl(name, _TTL_MINUTES)
    time.sleep(2 * _TTL_MINUTES * 60)


def _run(bench: Bench) -> Result:
    count = bench.size(_THREADS, _QUICK_THREADS)
    alone = [f"alone-{number}" for number in range(count)]
    later = [f"later-{number}" for number in range(count)]
    texts = Slices("puts", _TEXT_SIZE)
    result = Result()
    saver: Any
    with bench.open(durable=False) as saver:
        if not hasattr(saver, "sweep"):
            raise UnsupportedError("has no sweep")
        _fill(saver, alone + later)
        _expire(saver, alone)
    with bench.open() as saver, ThreadPoolExecutor(1) as pool:
        writer = ThreadWriter(saver, "writer")
        took = elapsed(saver.sweep)
        result.metrics["sweep"] = count * _CHECKPOINTS / took
        puts = bench.size(_PUTS, _QUICK_PUTS)
        quiet = latencies(partial(writer.put, texts.next()) for _ in range(puts))
        result.latency("quiet", quiet)
        _expire(saver, later)
        sweeping = pool.submit(saver.sweep)
        during: list[float] = []
        while not sweeping.done() or len(during) < 2:
            during.append(elapsed(partial(writer.put, texts.next())))
        result.latency("during", during)
    result.metrics["disturbance"] = result.metrics["during_p99"] - result.metrics["quiet_p99"]
    return result


WORKLOAD = Workload(
    name="sweep",
    title=f"Sweep of {_THREADS * _CHECKPOINTS:,} expired checkpoints",
    metrics=(
        Metric("sweep", "expired checkpoints swept", "1/s"),
        Metric("quiet_p99", "put p99 without a sweep", "s"),
        Metric("during_p99", "put p99 during a sweep", "s"),
        Metric("disturbance", "difference of put p99", "s"),
    ),
    run=_run,
)
