"""Retention between supersteps does not change the result of a run."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.types import Command

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.engine import reachability
from tests.graphs.conftest import needs_contexts
from tests.graphs.driving import AsyncDriver, Driver, at_thread, facts
from tests.graphs.test_delta_channel import delta, turn
from tests.graphs.test_fan_out import fan_out
from tests.graphs.test_interrupts import questions, tools
from tests.graphs.test_subgraphs import nested, remembering

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig

LATEST: Any = {"default_ttl": 1, "strategy": "keep_latest"}
LIMITED: Any = {"keep_last": 1, "max_history_age": 1}
AGED: Any = {"max_history_age": 1}
DELETING: Any = {"default_ttl": 1}
MODES = {
    "prune": None, "keep_latest": LATEST, "limits": LIMITED, "max_age": AGED, "delete": DELETING,
}  # fmt: skip


class SweepingSaver(LmdbSaver):
    """A saver that sweeps and prunes around each put.

    Each step takes longer than all limits of retention. With the strategy "delete", a run outlasts
    the TTL of its thread in each step, and copies of the thread are swept while it runs. A lock
    keeps other calls out between put and sweep: they would find that the thread has expired.
    """

    def __init__(self, path: Path, mode: str) -> None:
        self.now, self.swept, self._mode = 1_700_000_000.0, 0, mode
        self._lock = threading.RLock()
        self._loop_locks: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}
        super().__init__(path, sync="off", ttl=MODES[mode], clock=lambda: self.now)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Keep other tasks and threads out."""
        lock = self._loop_locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with lock:
            with self._lock:
                yield

    def get_tuple(self, config: RunnableConfig) -> Any:
        with self._lock:
            return super().get_tuple(config)

    async def aget_tuple(self, config: RunnableConfig) -> Any:
        async with self._alone():
            return await super().aget_tuple(config)

    def get_delta_channel_history(self, **asked: Any) -> Any:
        with self._lock:
            return super().get_delta_channel_history(**asked)

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        with self._lock:
            super().put_writes(config, writes, task_id, task_path)

    async def aput_writes(
        self, config: Any, writes: Any, task_id: str, task_path: str = ""
    ) -> None:
        async with self._alone():
            await super().aput_writes(config, writes, task_id, task_path)

    def put(self, config: RunnableConfig, *args: Any) -> RunnableConfig:
        with self._lock:
            self.now += 90
            result = super().put(config, *args)
            self._prune_and_sweep(config["configurable"]["thread_id"])
            return result

    async def aput(self, config: RunnableConfig, *args: Any) -> RunnableConfig:
        async with self._alone():
            self.now += 90
            result = await super().aput(config, *args)
            self._prune_and_sweep(config["configurable"]["thread_id"])
            return result

    def _prune_and_sweep(self, thread: str) -> None:
        before = self.stats().checkpoints
        if self._mode == "prune":
            self.prune([thread])
        elif self._mode == "keep_latest":
            self.sweep(now=self.now + 90)
        else:
            self.sweep()
        self.swept += before - self.stats().checkpoints
        if self._mode == "delete":
            self.copy_thread(thread, f"copy at {self.now}")
            if self.branches(thread):
                self.fork(at_thread(thread), f"fork at {self.now}")


def everything_asked(driver: Driver) -> Iterator[Any]:
    """Run three tools that ask together, and answer one by one."""
    driver.invoke({"log": []})
    for name in "cab":
        yield facts(driver.state())
        (asked,) = (i for i in driver.state().interrupts if i.value["tool"] == name)
        yield _result(driver.invoke(Command(resume={asked.id: name.upper()})))
    yield facts(driver.state())


def one_by_one(driver: Driver) -> Iterator[Any]:
    """Run one node that asks three times."""
    driver.invoke({"log": []})
    for number in range(3):
        yield facts(driver.state())
        yield _result(driver.invoke(Command(resume=f"answer {number}")))


def called(driver: Driver) -> Iterator[Any]:
    """Run nested subgraphs, the innermost of which asks, twice."""
    for _ in range(2):
        driver.invoke({"log": []})
        snapshot = driver.state(subgraphs=True)
        yield facts(snapshot)["interrupts"]
        while snapshot.tasks and snapshot.tasks[0].state:
            snapshot = snapshot.tasks[0].state  # type: ignore[assignment]
            yield snapshot.values, snapshot.next
        yield driver.invoke(Command(resume="yes"))


def remembered(driver: Driver) -> Iterator[Any]:
    """Run a subgraph, with or without its own memory."""
    for _ in range(4):
        yield driver.invoke({"log": []})


def rebuilt(driver: Driver) -> Iterator[Any]:
    """Run a graph with DeltaChannels, whose ancestors are deleted."""
    for number in range(6):
        turn(driver, number)
        yield driver.state().values


def asked_and_rebuilt(driver: Driver) -> Iterator[Any]:
    """Run a graph with DeltaChannels and tools that ask, and answer in two calls."""
    for number in range(3):
        turn(driver, number)
        first, *rest = driver.state().interrupts
        driver.invoke(Command(resume={first.id: "first"}))
        driver.invoke(Command(resume={one.id: "later" for one in rest}))
        yield driver.state().values


def spread(driver: Driver) -> Iterator[Any]:
    yield driver.invoke({"done": []})
    yield driver.invoke({"done": []})
    yield facts(driver.state())


def forked(driver: Driver) -> Iterator[Any]:
    """Fork a thread that waits for answers, and continue both."""
    driver.invoke({"log": []})
    with driver.saver() as saver:
        saver.fork(at_thread(), "fork")
    for thread in ("fork", "t"):
        asked = driver.state(at_thread(thread)).interrupts
        yield len(asked)
        answers = {one.id: thread for one in asked}
        yield driver.invoke(Command(resume=answers), at_thread(thread))
    driver.update({"log": ["changed by hand"]}, at_thread("fork"))
    for thread in ("fork", "t"):
        yield facts(driver.state(at_thread(thread)))


def branched(driver: Driver) -> Iterator[Any]:
    """Update the latest checkpoint by hand, which creates a branch, and continue."""
    for number in range(3):
        driver.invoke({"log": [f"given {number}"]})
        at = driver.state().config
        driver.update({"log": [f"branch {number}"]}, at, as_node="agent")
        yield driver.state().values


def _result(found: dict[str, Any]) -> Any:
    """Return a result without the ids of interrupts, which differ between runs."""
    return {key: value for key, value in found.items() if key != "__interrupt__"}


RUNS: dict[str, tuple[Callable[[], Any], Callable[[Driver], Iterator[Any]]]] = {
    "several tools ask": (tools, everything_asked),
    "a node asks": (questions, one_by_one),
    "nested calls": (lambda: _compiled(nested(3)), called),
    "memory": (remembering(True), remembered),
    "calls": (remembering(None), remembered),
    "delta": (delta(3), rebuilt),
    "delta, no snapshots": (delta(100), rebuilt),
    "delta that asks": (delta(3, asks=True), asked_and_rebuilt),
    "fan-out": (lambda: fan_out(lambda call: {"done": [call["number"]]}, 12), spread),
    "forked": (tools, forked),
    "branches": (remembering(True), branched),
}


# Each of two threads would expire in a step of the other thread.
COMBINATIONS = [
    (run, mode) for run in RUNS for mode in MODES if (run, mode) != ("forked", "delete")
]


def _compiled(builder: Any) -> Callable[[Any], Any]:
    return lambda saver: builder.compile(checkpointer=saver)


@pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=needs_contexts)])
@pytest.mark.parametrize(("run", "mode"), COMBINATIONS)
def test_retention_does_not_change_the_result_of_a_run(
    path: Path, run: str, mode: str, kind: str
) -> None:
    build, scenario = RUNS[run]
    driver_type = AsyncDriver if kind == "async" else Driver
    with LmdbSaver(path.with_name("plain"), sync="off") as plain:
        expected = [*scenario(driver_type(build(), plain, durability="sync"))]
    with SweepingSaver(path, mode) as saver:
        assert [*scenario(driver_type(build(), saver, durability="sync"))] == expected
        assert saver.swept > 0
        reachability.check(saver._kv)
        saver.now += 1e6
        for thread in saver.threads():
            saver.set_ttl(thread.thread_id, 1)
        if mode != "keep_latest":
            saver.sweep()
            assert saver.stats().checkpoints == 0
