"""A pool of processes that run workflows on one store, while random ones are killed.

Each step writes a line to a log when it begins and when it ends. The log is independent of the
store, so the two together prove what ran, where, and how often.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import operator
import os
import signal
import time
from multiprocessing.connection import wait
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.workflows import DurableWorkflow, arecover, recover

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig

STEPS = ("plan", "draft", "check", "join", "review")
"""Steps of a workflow. `draft` and `check` are parallel."""
KILL_INTERVAL_SECONDS = 0.1

_forkserver = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload([__name__])  # so that a new worker imports nothing


class State(TypedDict):
    """The tokens of the steps that are done. A token names one call of a step."""

    done: Annotated[list[str], operator.add]


class Line(NamedTuple):
    """A line of the log: a step began or ended."""

    event: str
    thread_id: str
    step: str
    token: str
    pid: int
    time: int
    """Nanoseconds of the clock that all processes share."""


class Pool(NamedTuple):
    """The store and the log of a pool whose workers have ended."""

    store: Path
    lines: list[Line]
    thread_ids: list[str]
    kills: dict[int, int]
    """Time at which each killed process was killed, by its id."""


def run_pool(folder: Path, *, workers: int, workflows: int, most_kills: int, seed: int) -> Pool:
    """Run workflows to their end, and kill a random worker every 100 ms.

    Args:
        folder: An empty folder for the store and the log.
        workers: Processes at a time.
        workflows: Workflows to run.
        most_kills: Kill at most so many.
        seed: Seed of the choice of workers.
    """
    store, log, random = folder / "store", folder / "log", Random(seed)
    thread_ids = [f"workflow-{number}" for number in range(workflows)]
    kills: dict[int, int] = {}
    running: dict[int, ForkServerProcess] = {}

    def start(slot: int) -> None:
        arguments = (store, log, slot, thread_ids[slot::workers], thread_ids)
        running[slot] = _forkserver.Process(target=_work, args=arguments, daemon=True)
        running[slot].start()

    for slot in range(workers):
        start(slot)
    while running:
        wait([process.sentinel for process in running.values()], KILL_INTERVAL_SECONDS)
        slot = random.choice(sorted(running))
        if len(kills) < most_kills:
            kills[running[slot].pid or 0] = time.monotonic_ns()
            running[slot].kill()
            running[slot].join()
            if running.pop(slot).exitcode == -signal.SIGKILL:
                start(slot)
        ended = [slot for slot, process in running.items() if process.exitcode is not None]
        for slot in ended:
            assert running.pop(slot).exitcode == 0, "a worker failed"
    return Pool(store, read_log(log), thread_ids, kills)


def read_log(log: Path) -> list[Line]:
    """Return the lines of a log, in the order in which they were written."""
    rows = [line.split() for line in log.read_text().splitlines()]
    return [Line(*row[:4], int(row[4]), int(row[5])) for row in rows]  # type: ignore[call-arg]


def build(log: Path) -> StateGraph[Any]:
    """Return the graph of a workflow whose steps write to a log."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    builder = StateGraph(State)
    for step in STEPS:
        builder.add_node(step, _step(step, handle))
    builder.add_edge(START, "plan")
    for parallel in ("draft", "check"):
        builder.add_edge("plan", parallel)
    builder.add_edge(["draft", "check"], "join")
    builder.add_edge("join", "review")
    return builder


def _step(step: str, handle: int) -> Any:
    def run(state: State, config: RunnableConfig) -> dict[str, Any]:
        thread_id = config["configurable"]["thread_id"]
        token = f"{step}:{os.getpid()}:{time.monotonic_ns()}"
        for event in ("begin", "end"):
            line = Line(event, thread_id, step, token, os.getpid(), time.monotonic_ns())
            os.write(handle, f"{' '.join(map(str, line))}\n".encode())
            os.fsync(handle)
        return {"done": [token]}

    return run


def _work(store: Path, log: Path, slot: int, own: Sequence[str], every: Sequence[str]) -> None:
    """Run a worker: start its own workflows, and recover the workflows of every worker."""
    with LmdbSaver(store, sync="off") as saver:
        graph = build(log)
        workflow = DurableWorkflow(graph, saver)
        if slot % 2:
            asyncio.run(_work_async(saver, graph, workflow, own, every))
            return
        for thread_id in own:
            if workflow.get_status(thread_id) is None:
                workflow.execute(thread_id, {"done": []})
                recover(saver, graph, min_age_minutes=0, max_workers=2)
        while not _are_complete(workflow, every):
            recover(saver, graph, min_age_minutes=0, max_workers=2)


async def _work_async(
    saver: LmdbSaver,
    graph: Any,
    workflow: DurableWorkflow,
    own: Sequence[str],
    every: Sequence[str],
) -> None:
    for thread_id in own:
        if await workflow.aget_status(thread_id) is None:
            await workflow.aexecute(thread_id, {"done": []})
            await arecover(saver, graph, min_age_minutes=0, max_workers=2)
    while not _are_complete(workflow, every):
        await arecover(saver, graph, min_age_minutes=0, max_workers=2)


def _are_complete(workflow: DurableWorkflow, thread_ids: Sequence[str]) -> bool:
    found = map(workflow.get_status, thread_ids)
    return all(status is not None and status.is_complete for status in found)
