"""A long chat that is taken up fifty times: within its thread, and as threads of their own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from benches.agent import Script, ask, build_agent, question, thread, write_script
from benches.measure import allocated, latencies, record_disk
from benches.model import Bench, Metric, Result, UnsupportedError, Workload
from benches.workloads.chat import QUICK_TURNS, THREAD, TURNS, fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.runnables import RunnableConfig

_FORKS = 50


def _filled(bench: Bench) -> tuple[Result, int]:
    turns = bench.size(TURNS, QUICK_TURNS)
    result = Result()
    with bench.open() as saver:
        fill(saver, write_script(THREAD, range(turns)))
    result.metrics["one"] = allocated(bench.location.directory) - bench.location.baseline
    return result, turns


def _run_branches(bench: Bench) -> Result:
    """As LangGraph forks: runs that begin at a checkpoint, each with a turn of its own."""
    result, turns = _filled(bench)
    scripts: list[Script] = []
    for number in range(_FORKS):
        (turn,) = write_script(f"fork-{number}", range(1)).values()
        scripts.append({(THREAD, turns): turn})
    with bench.open() as saver:
        if not bench.saver.persistent:
            fill(saver, write_script(THREAD, range(turns)))
        tip = saver.get_tuple(thread(THREAD))
        assert tip is not None
        graphs = [build_agent(script, saver) for script in scripts]

        def take_up(number: int) -> None:
            asked = question(scripts[number], THREAD, turns)
            graphs[number].invoke(asked, tip.config, durability="sync")

        result.metrics["wall"] = sum(latencies(partial(take_up, n) for n in range(_FORKS)))
    record_disk(bench, result)
    return result


def _forking(saver: BaseCheckpointSaver[Any]) -> Callable[[RunnableConfig, str], object]:
    """How this saver makes a new thread of the chat."""
    fork: Callable[[RunnableConfig, str], object] | None = getattr(saver, "fork", None)
    if fork is not None:
        return fork
    if type(saver).copy_thread is not BaseCheckpointSaver.copy_thread:
        return lambda _, target: saver.copy_thread(THREAD, target)
    raise UnsupportedError("has neither fork nor copy_thread")


def _run_threads(bench: Bench) -> Result:
    with bench.open() as saver:
        _forking(saver)  # or there is nothing to measure
    result, turns = _filled(bench)
    targets = [f"fork-{number}" for number in range(_FORKS)]
    # A fork's next turn is the one after those that it took over.
    script: Script = {}
    for target in targets:
        script |= write_script(target, range(turns, turns + 1))
    with bench.open() as saver:
        if not bench.saver.persistent:
            fill(saver, write_script(THREAD, range(turns)))
        graph = build_agent(script, saver)
        fork = _forking(saver)
        forks = latencies(partial(fork, thread(THREAD), target) for target in targets)
        result.latency("fork", forks)
        asked = latencies(partial(ask, graph, script, target, turns) for target in targets)
        result.metrics["wall"] = sum(asked)
    record_disk(bench, result)
    return result


_METRICS = (
    Metric("wall", "the further turns", "s"),
    Metric("one", "disk before", "B"),
    Metric("disk", "disk after", "B"),
)

WORKLOADS = (
    Workload(
        name="forks",
        title=f"{_FORKS} forks of the {TURNS}-turn chat, one more turn in each",
        metrics=_METRICS,
        run=_run_branches,
    ),
    Workload(
        name="fork-threads",
        title="The same, each fork a thread of its own (fork, or copy_thread)",
        metrics=(Metric("fork_p50", "one fork, p50", "s"), *_METRICS),
        run=_run_threads,
    ),
)
