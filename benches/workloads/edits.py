"""A graph with one node, invoked once for each edit of its state."""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from langgraph.graph import END, START, StateGraph

from benches.agent import thread
from benches.measure import elapsed, record_disk, used
from benches.model import Bench, Metric, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

METRICS = (
    Metric("wall", "wall", "s"),
    Metric("step_p50", "step p50", "s"),
    Metric("step_p99", "step p99", "s"),
    Metric("disk", "disk", "B"),
    Metric("apparent", "apparent size", "B"),
)

_DISK_SAMPLES = 30


def run_edits(
    bench: Bench,
    state: type[Any],
    edit: Callable[[Any], Any],
    start: dict[str, Any],
    inputs: Iterable[dict[str, Any]],
    steps: int,
) -> Result:
    """Store `start`, then measure one invocation of the node `edit` per input."""
    builder: Any = StateGraph(state)
    builder.add_node("edit", edit)
    builder.add_edge(START, "edit")
    builder.add_edge("edit", END)
    config = thread("edits")
    result = Result()
    times: list[float] = []
    disk: list[tuple[float, float]] = []
    with bench.open() as saver:
        graph = builder.compile(checkpointer=saver)
        graph.invoke(start, config, durability="sync")
        for step, given in enumerate(inputs, start=1):
            times.append(elapsed(partial(graph.invoke, given, config, durability="sync")))
            if step % max(1, steps // _DISK_SAMPLES) == 0:
                disk.append((step, used(bench.location)))
                bench.progress(step / steps)
    result.metrics["wall"] = sum(times)
    result.latency("step", times)
    result.curve("wall", accumulate(times))
    if bench.saver.persistent:
        result.series["disk"] = disk
    record_disk(bench, result)
    return result
