"""Concurrent conversations on one event loop, and the delay of other tasks on it."""

from __future__ import annotations

import asyncio
import time

from benches.agent import Script, aask, build_agent, write_script
from benches.model import Bench, Metric, Result, Workload

_CONVERSATIONS, _QUICK_CONVERSATIONS = 64, 16
_TURNS = 6
_TICK = 0.001


async def _tick(lags: list[float]) -> None:
    """Record how much longer than requested a sleep on the loop takes."""
    while True:
        start = time.perf_counter()
        await asyncio.sleep(_TICK)
        lags.append(time.perf_counter() - start - _TICK)


async def _run_all(bench: Bench, script: Script, threads: list[str]) -> Result:
    result = Result()
    lags: list[float] = []
    async with bench.open_async() as saver:
        graph = build_agent(script, saver, asynchronous=True)

        async def run_conversation(thread_id: str) -> None:
            for number in range(_TURNS):
                await aask(graph, script, thread_id, number)

        ticker = asyncio.create_task(_tick(lags))
        start = time.perf_counter()
        await asyncio.gather(*map(run_conversation, threads))
        wall = time.perf_counter() - start
        ticker.cancel()
    result.metrics["turns"] = len(threads) * _TURNS / wall
    result.latency("lag", lags)
    result.metrics["lag_max"] = max(lags)
    return result


def _run(bench: Bench) -> Result:
    count = bench.size(_CONVERSATIONS, _QUICK_CONVERSATIONS)
    threads = [f"conversation-{number}" for number in range(count)]
    script: Script = {}
    for thread_id in threads:
        script |= write_script(thread_id, range(_TURNS))
    return asyncio.run(_run_all(bench, script, threads))


WORKLOAD = Workload(
    name="asyncio",
    title=f"asyncio: {_CONVERSATIONS} concurrent conversations of {_TURNS} turns",
    metrics=(
        Metric("turns", "turns", "1/s"),
        Metric("lag_p50", "loop lag p50", "s"),
        Metric("lag_p99", "loop lag p99", "s"),
        Metric("lag_max", "loop lag max", "s"),
    ),
    run=_run,
    api="async",
    repeat=3,
)
