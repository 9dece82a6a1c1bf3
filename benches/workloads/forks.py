"""A long chat that is continued fifty times: in its thread, and in new threads."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from benches.agent import Script, ask, build_agent, question, thread, write_script
from benches.measure import latencies, record_disk, used
from benches.model import Bench, Metric, Result, UnsupportedError, Workload
from benches.workloads.chat import QUICK_TURNS, THREAD, TURNS, fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.runnables import RunnableConfig

_FORKS = 50


def _fill_store(bench: Bench) -> tuple[Result, int]:
    turns = bench.size(TURNS, QUICK_TURNS)
    result = Result()
    with bench.open() as saver:
        fill(saver, write_script(THREAD, range(turns)))
    result.metrics["one"] = used(bench.location)
    return result, turns


def _run_branches(bench: Bench) -> Result:
    """Measure forks as LangGraph makes them: runs that begin at a checkpoint."""
    result, turns = _fill_store(bench)
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

        def continue_chat(number: int) -> None:
            asked = question(scripts[number], THREAD, turns)
            graphs[number].invoke(asked, tip.config, durability="sync")

        result.metrics["wall"] = sum(latencies(partial(continue_chat, n) for n in range(_FORKS)))
    record_disk(bench, result)
    return result


def _fork_method(saver: BaseCheckpointSaver[Any]) -> Callable[[RunnableConfig, str], object]:
    """Return the method that makes a new thread from the chat.

    Raises:
        UnsupportedError: The saver has no such method.
    """
    fork: Callable[[RunnableConfig, str], object] | None = getattr(saver, "fork", None)
    if fork is not None:
        return fork
    if type(saver).copy_thread is not BaseCheckpointSaver.copy_thread:
        return lambda _, target: saver.copy_thread(THREAD, target)
    raise UnsupportedError("has neither fork nor copy_thread")


def _run_threads(bench: Bench) -> Result:
    with bench.open() as saver:
        _fork_method(saver)  # raises if the saver has no such method
    result, turns = _fill_store(bench)
    targets = [f"fork-{number}" for number in range(_FORKS)]
    # The next turn of a fork has the number after the copied turns.
    script: Script = {}
    for target in targets:
        script |= write_script(target, range(turns, turns + 1))
    with bench.open() as saver:
        if not bench.saver.persistent:
            fill(saver, write_script(THREAD, range(turns)))
        graph = build_agent(script, saver)
        fork = _fork_method(saver)
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
        title=f"{_FORKS} forks of the {TURNS}-turn chat as new threads (fork, or copy_thread)",
        metrics=(Metric("fork_p50", "one fork, p50", "s"), *_METRICS),
        run=_run_threads,
    ),
)
