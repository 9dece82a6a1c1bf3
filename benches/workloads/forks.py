"""Copies of a long thread that each go one turn further."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from benches.agent import Script, ask, build_agent, thread, write_script
from benches.measure import allocated, latencies, record_disk
from benches.model import Bench, Metric, Result, UnsupportedError, Workload
from benches.workloads.chat import QUICK_TURNS, THREAD, TURNS, fill

if TYPE_CHECKING:
    from collections.abc import Callable

_FORKS = 50


def _forking(saver: BaseCheckpointSaver[Any]) -> Callable[[str], object]:
    """How this saver makes a new thread of the chat."""
    if hasattr(saver, "fork"):
        return lambda target: saver.fork(thread(THREAD), target)
    if type(saver).copy_thread is not BaseCheckpointSaver.copy_thread:
        return lambda target: saver.copy_thread(THREAD, target)
    raise UnsupportedError("has neither fork nor copy_thread")


def _run(bench: Bench) -> Result:
    turns = bench.size(TURNS, QUICK_TURNS)
    script = write_script(THREAD, range(turns))
    targets = [f"fork-{number}" for number in range(_FORKS)]
    # A fork's next turn is the one after those that it took over.
    extra: Script = {}
    for target in targets:
        extra |= write_script(target, range(turns, turns + 1))
    result = Result()
    with bench.open() as saver:
        _forking(saver)  # or there is nothing to measure
        fill(saver, script)
    result.metrics["one"] = allocated(bench.place.directory) - bench.place.baseline
    with bench.open() as saver:
        graph = build_agent(extra, saver)
        fork = _forking(saver)
        result.latency("fork", latencies(partial(fork, target) for target in targets))
        asked = latencies(partial(ask, graph, extra, target, turns) for target in targets)
        result.metrics["wall"] = sum(asked)
    record_disk(bench, result)
    return result


WORKLOAD = Workload(
    name="forks",
    title=f"{_FORKS} forks of the {TURNS}-turn chat, one more turn in each",
    metrics=(
        Metric("fork_p50", "one fork, p50", "s"),
        Metric("wall", "the further turns", "s"),
        Metric("one", "disk before", "B"),
        Metric("disk", "disk after", "B"),
    ),
    run=_run,
)
