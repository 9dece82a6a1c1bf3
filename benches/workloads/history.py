"""Reading a whole chat from a store that was just opened."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from benches.agent import CHECKPOINTS_PER_TURN, build_agent, thread, write_script
from benches.measure import PeakMemory, elapsed
from benches.model import Bench, Metric, Result, Workload
from benches.workloads.chat import QUICK_TURNS, THREAD, TURNS, fill

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langgraph.checkpoint.base import BaseCheckpointSaver

_CHECKPOINTS = TURNS * CHECKPOINTS_PER_TURN
_QUICK_CHECKPOINTS = QUICK_TURNS * CHECKPOINTS_PER_TURN


def _prepare(bench: Bench) -> None:
    with bench.open(durable=False) as saver:
        _fill(bench, saver)


def _fill(bench: Bench, saver: BaseCheckpointSaver[Any]) -> None:
    fill(saver, write_script(THREAD, range(bench.size(TURNS, QUICK_TURNS))))


@contextmanager
def _filled(bench: Bench) -> Iterator[BaseCheckpointSaver[Any]]:
    with bench.open() as saver:
        if not bench.saver.persistent:
            _fill(bench, saver)
        yield saver


def _consume(bench: Bench, checkpoints: Iterable[object]) -> None:
    """Iterate over the checkpoints and keep none."""
    expected = bench.size(_CHECKPOINTS, _QUICK_CHECKPOINTS)
    count = 0
    for count, _ in enumerate(checkpoints, start=1):
        bench.progress(count / expected)
    assert count == expected, f"{count} checkpoints, not {expected}"


def _run_history(bench: Bench) -> Result:
    result = Result()
    config = thread(THREAD)
    with _filled(bench) as saver:
        graph = build_agent({}, saver)
        memory = PeakMemory()
        result.metrics["first_get_state"] = elapsed(partial(graph.get_state, config))
        history = graph.get_state_history(config)
        result.metrics["history"] = elapsed(partial(_consume, bench, history))
        result.metrics["peak"] = memory.growth()
    return result


def _run_listing(bench: Bench) -> Result:
    result = Result()
    with _filled(bench) as saver:
        memory = PeakMemory()
        listing = saver.list(thread(THREAD))
        result.metrics["list"] = elapsed(partial(_consume, bench, listing))
        result.metrics["peak"] = memory.growth()
    return result


_PEAK = Metric("peak", "peak memory over idle", "B")

WORKLOADS = (
    Workload(
        name="history",
        title=f"get_state_history of the {TURNS}-turn chat, all {_CHECKPOINTS} checkpoints",
        metrics=(
            Metric("first_get_state", "first get_state", "s"),
            Metric("history", "get_state_history", "s"),
            _PEAK,
        ),
        run=_run_history,
        prepare=_prepare,
    ),
    Workload(
        name="listing",
        title=f"list of the {TURNS}-turn chat, {_CHECKPOINTS} checkpoints one by one",
        metrics=(Metric("list", "list", "s"), _PEAK),
        run=_run_listing,
        prepare=_prepare,
    ),
)
