"""A conversation with a tool-calling agent: four messages and five checkpoints per turn."""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from langgraph.graph import MessagesState

from benches.agent import Script, ask, build_agent, thread, write_script
from benches.measure import elapsed, latencies, record_disk, used
from benches.model import Bench, Metric, Result, Workload

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

THREAD = "chat"
TURNS, QUICK_TURNS = 300, 20
_READS = 20
_DISK_SAMPLES = 30

METRICS = (
    Metric("wall", "wall", "s"),
    Metric("turn_p50", "turn p50", "s"),
    Metric("turn_p99", "turn p99", "s"),
    Metric("disk", "disk", "B"),
    Metric("apparent", "apparent size", "B"),
    Metric("get_state_p50", "get_state at the end, p50", "s"),
)


def fill(saver: BaseCheckpointSaver[Any], script: Script) -> None:
    """Run the whole conversation without measuring it."""
    graph = build_agent(script, saver)
    for thread_id, number in script:
        ask(graph, script, thread_id, number)


def run_chat(bench: Bench, turns: int, state: type[Any] = MessagesState) -> Result:
    """Measure a conversation, and reading its state at the end."""
    script = write_script(THREAD, range(turns))
    result = Result()
    disk: list[tuple[float, float]] = []
    times: list[float] = []
    with bench.open() as saver:
        graph = build_agent(script, saver, state=state)
        for number in range(turns):
            times.append(elapsed(partial(ask, graph, script, THREAD, number)))
            if (number + 1) % max(1, turns // _DISK_SAMPLES) == 0:
                disk.append((number + 1, used(bench.location)))
                bench.progress((number + 1) / turns)
        reads = latencies([partial(graph.get_state, thread(THREAD))] * _READS)
    result.metrics["wall"] = sum(times)
    result.latency("turn", times)
    result.latency("get_state", reads)
    result.curve("wall", accumulate(times))
    if bench.saver.persistent:
        result.series["disk"] = disk
    record_disk(bench, result)
    return result


def _run(bench: Bench, factor: int) -> Result:
    return run_chat(bench, factor * bench.size(TURNS, QUICK_TURNS))


WORKLOADS = tuple(
    Workload(
        name=name,
        title=f"Chat, {factor * TURNS} turns",
        metrics=METRICS,
        run=partial(_run, factor=factor),
        in_quick=factor == 1,
    )
    for name, factor in (("chat", 1), ("chat-long", 2))
)
