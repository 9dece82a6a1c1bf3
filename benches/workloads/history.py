"""Reading a whole chat back from a store that was just opened."""

from __future__ import annotations

from functools import partial

from benches.agent import CHECKPOINTS_PER_TURN, build_agent, thread, write_script
from benches.measure import PeakMemory, elapsed
from benches.model import Bench, Metric, Result, Workload
from benches.workloads.chat import QUICK_TURNS, THREAD, TURNS, fill


def _prepare(bench: Bench) -> None:
    with bench.open(durable=False) as saver:
        fill(saver, write_script(THREAD, range(bench.size(TURNS, QUICK_TURNS))))


def _run(bench: Bench) -> Result:
    turns = bench.size(TURNS, QUICK_TURNS)
    result = Result()
    with bench.open() as saver:
        if not bench.saver.persistent:
            fill(saver, write_script(THREAD, range(turns)))
        graph = build_agent({}, saver)
        memory = PeakMemory()
        result.metrics["first_get_state"] = elapsed(partial(graph.get_state, thread(THREAD)))

        def read_history() -> None:
            count = 0
            for count, _ in enumerate(graph.get_state_history(thread(THREAD)), start=1):
                bench.progress(count / (turns * CHECKPOINTS_PER_TURN))
            assert count == turns * CHECKPOINTS_PER_TURN, f"{count} checkpoints"

        result.metrics["history"] = elapsed(read_history)
        result.metrics["peak"] = memory.growth()
    return result


WORKLOAD = Workload(
    name="history",
    title=f"History of the {TURNS}-turn chat, {TURNS * CHECKPOINTS_PER_TURN} checkpoints",
    metrics=(
        Metric("first_get_state", "first get_state", "s"),
        Metric("history", "get_state_history", "s"),
        Metric("peak", "peak memory over idle", "B"),
    ),
    run=_run,
    prepare=_prepare,
)
