"""The cost of one superstep of a small graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from benches.agent import thread
from benches.measure import latencies
from benches.model import Bench, Metric, Result, Workload
from benches.text import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

_NODES = ("first", "second", "third")
_SUPERSTEPS = len(_NODES) + 2
"""Checkpoints of an invocation: the input, the entry, and one per node."""
_STATE_SIZE = 1000
_INVOCATIONS, _QUICK_INVOCATIONS = 300, 50
_WARM_UP = 5


class _State(TypedDict):
    text: str


def _node(texts: list[str]) -> Callable[[Any], dict[str, Any]]:
    return lambda _state: {"text": texts.pop()}


def _run(bench: Bench) -> Result:
    invocations = bench.size(_INVOCATIONS, _QUICK_INVOCATIONS)
    writer = Writer("superstep")
    texts = [writer.prose(_STATE_SIZE) for _ in range((invocations + _WARM_UP) * (len(_NODES) + 1))]
    builder: Any = StateGraph(_State)
    for name in _NODES:
        builder.add_node(name, _node(texts))
    builder.add_edge(START, _NODES[0])
    builder.add_edge(_NODES[0], _NODES[1])
    builder.add_edge(_NODES[1], _NODES[2])
    builder.add_edge(_NODES[2], END)
    result = Result()
    with bench.open() as saver:
        graph = builder.compile(checkpointer=saver)

        def invoke() -> None:
            graph.invoke({"text": texts.pop()}, thread("superstep"), durability="sync")

        latencies([invoke] * _WARM_UP)
        samples = latencies([invoke] * invocations)
    result.latency("superstep", [sample / _SUPERSTEPS for sample in samples])
    result.metrics["mean"] = sum(samples) / len(samples) / _SUPERSTEPS
    return result


WORKLOAD = Workload(
    name="superstep",
    title="Superstep: three nodes, 1 KB of state, each replaces it",
    metrics=(
        Metric("mean", "superstep, mean", "s"),
        Metric("superstep_p50", "superstep p50", "s"),
        Metric("superstep_p99", "superstep p99", "s"),
    ),
    run=_run,
    repeat=3,
)
