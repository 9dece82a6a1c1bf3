"""The effect of the size of the store: equal calls among 1,000 to 1,000,000 checkpoints."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from benches.agent import thread
from benches.measure import latencies, record_disk
from benches.model import Bench, Metric, Result, Workload
from benches.records import ThreadWriter
from benches.text import Slices

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

SIZES = {"scale-1k": 1000, "scale-10k": 10_000, "scale-100k": 100_000, "scale-1m": 1_000_000}
_QUICK_DIVISOR = 10
_GROUP = 10
"""Checkpoints per group: nine form a new thread, the tenth belongs to the long thread."""
_LONG = "long"
_TEXT_SIZE = 500
_CALLS = 100
"""Calls, each on another thread: a thread that was read before is cached."""
_FILTERS, _LONG_LISTS = 9, 30
"""Fewer calls: some savers read all checkpoints, or the whole thread."""


def _short(number: int) -> str:
    return f"thread-{number:06}"


def _fill(bench: Bench, saver: BaseCheckpointSaver[Any], total: int) -> None:
    texts = Slices("scale", _TEXT_SIZE)
    long = ThreadWriter(saver, _LONG)
    for number in range(total // _GROUP):
        short = ThreadWriter(saver, _short(number))
        for _ in range(_GROUP - 1):
            short.put(texts.next(), run_id=f"run-{number}")
        long.put(texts.next(), run_id=f"run-{number}")
        bench.progress(number * _GROUP / total)


def _prepare(bench: Bench, total: int) -> None:
    with bench.open(durable=False) as saver:
        _fill(bench, saver, total // bench.size(1, _QUICK_DIVISOR))


def _supports_filters(saver: BaseCheckpointSaver[Any]) -> bool:
    """Return True if the saver supports filters. One that ignores a filter lists everything."""
    return not [*saver.list(None, filter={"run_id": "none"}, limit=1)]


def _run_of(saver: BaseCheckpointSaver[Any], run_id: str) -> None:
    assert len([*saver.list(None, filter={"run_id": run_id})]) == _GROUP


def _newest_threads(saver: Any) -> None:
    assert len([*saver.threads(limit=50)]) == 50


def _run(bench: Bench, total: int) -> Result:
    total //= bench.size(1, _QUICK_DIVISOR)
    calls = min(_CALLS, total // _GROUP)
    rng = random.Random("calls")
    texts = Slices("calls", _TEXT_SIZE)
    chosen = [_short(number) for number in rng.sample(range(total // _GROUP), calls)]
    result = Result()
    with ExitStack() as stack:
        start = time.perf_counter()
        saver = stack.enter_context(bench.open())
        saver.get_tuple(thread(_LONG))
        if bench.saver.persistent:
            result.metrics["open"] = time.perf_counter() - start
        else:
            _fill(bench, saver, total)

        def get(thread_id: str) -> None:
            assert saver.get_tuple(thread(thread_id)) is not None

        def list_five(thread_id: str) -> None:
            assert len([*saver.list(thread(thread_id), limit=5)]) == 5

        result.latency("get", latencies(partial(get, name) for name in chosen))
        if _supports_filters(saver):
            run_ids = [f"run-{rng.randrange(total // _GROUP)}" for _ in range(_FILTERS)]
            result.latency("filter", latencies(partial(_run_of, saver, name) for name in run_ids))
        if hasattr(saver, "threads"):
            result.latency("threads", latencies([partial(_newest_threads, saver)] * calls))
        result.latency("list", latencies(partial(list_five, name) for name in chosen))
        result.latency("list_long", latencies([partial(list_five, _LONG)] * _LONG_LISTS))
        writers = [ThreadWriter.resume(saver, name) for name in chosen]
        long = ThreadWriter.resume(saver, _LONG)
        new = [texts.next() for _ in range(2 * calls)]
        result.latency("put", latencies(partial(w.put, new.pop()) for w in writers))
        result.latency("put_long", latencies(partial(long.put, new.pop()) for _ in range(calls)))
    record_disk(bench, result)
    return result


_METRICS = (
    Metric("open", "open and first get", "s"),
    Metric("get_p50", "get p50", "s"),
    Metric("get_p99", "get p99", "s"),
    Metric("list_p50", "list(limit=5) p50", "s"),
    Metric("list_long_p50", "list(limit=5) of the long thread, p50", "s"),
    Metric("put_p50", "put p50", "s"),
    Metric("put_p99", "put p99", "s"),
    Metric("put_long_p50", "put to the long thread p50", "s"),
    Metric("filter_p50", "all threads, filtered by run_id, p50", "s"),
    Metric("threads_p50", "threads(limit=50) p50", "s"),
    Metric("disk", "disk", "B"),
)

WORKLOADS = tuple(
    Workload(
        name=name,
        title=f"Scale: {total:,} checkpoints, nine to a thread and a tenth of all in one",
        metrics=_METRICS,
        run=partial(_run, total=total),
        prepare=partial(_prepare, total=total),
        timeout=3600,
        in_quick=total == 10_000,
    )
    for name, total in SIZES.items()
)
