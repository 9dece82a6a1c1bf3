"""Calls with many values: the time per value must not grow with their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benches.measure import elapsed
from benches.model import Bench, Metric, Result, Workload
from benches.records import ThreadWriter

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

_FEW, _MANY, _QUICK_MANY = 1000, 100_000, 10_000
_FEW_CALLS, _MANY_CALLS = 9, 3
"""Calls; the fastest one counts."""


def _put(saver: BaseCheckpointSaver[Any], name: str, count: int) -> float:
    thread = ThreadWriter(saver, name)
    values = {f"channel-{number}": f"value {number}" for number in range(count)}
    return elapsed(lambda: thread.put_values(values)) / count


def _put_writes(saver: BaseCheckpointSaver[Any], name: str, count: int) -> float:
    thread = ThreadWriter(saver, name)
    thread.put("")
    rows = [(f"channel-{number}", f"value {number}") for number in range(count)]
    return elapsed(lambda: saver.put_writes(thread.config, rows, "task")) / count


def _run(bench: Bench) -> Result:
    result = Result()
    many = bench.size(_MANY, _QUICK_MANY)
    with bench.open() as saver:
        for call in (_put, _put_writes):
            name = call.__name__.lstrip("_")
            few = [call(saver, f"few-{name}-{n}", _FEW) for n in range(_FEW_CALLS)]
            result.metrics[f"{name}_few"] = min(few)
            large = [call(saver, f"many-{name}-{n}", many) for n in range(_MANY_CALLS)]
            result.metrics[f"{name}_many"] = min(large)
    return result


WORKLOAD = Workload(
    name="many",
    title=f"{_FEW:,} and {_MANY:,} values in one call",
    metrics=(
        Metric("put_few", f"put, per channel of {_FEW:,}", "s"),
        Metric("put_many", f"put, per channel of {_MANY:,}", "s"),
        Metric("put_writes_few", f"put_writes, per write of {_FEW:,}", "s"),
        Metric("put_writes_many", f"put_writes, per write of {_MANY:,}", "s"),
    ),
    run=_run,
)
