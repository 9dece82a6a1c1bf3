"""Parallel tasks: fan-out with `Send`, and failed tasks."""

from __future__ import annotations

import base64
import operator
import threading
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability
from tests.graphs.driving import AsyncDriver, Drive, Driver, at_thread, facts, story

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE = 60.0  # seconds until a task that waits for its siblings counts as hung


class State(TypedDict):
    done: Annotated[list[int], operator.add]


def fan_out(work: Callable[[dict[str, int]], Any], width: int) -> Callable[[Any], Any]:
    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_node("sum", lambda state: {"done": [sum(state["done"])]})
    builder.add_conditional_edges(
        START, lambda _: [Send("work", {"number": n}) for n in range(width)], ["work"]
    )
    builder.add_edge("work", "sum")
    builder.add_edge("sum", END)
    return lambda saver: builder.compile(checkpointer=saver)


def test_writes_of_a_fan_out_are_in_the_order_of_tasks(drive: Drive) -> None:
    """The step has sixty tasks."""

    def scenario(driver: Driver) -> Any:
        result = driver.invoke({"done": []})
        return [result, story(driver)]

    def build() -> Callable[[Any], Any]:
        return fan_out(lambda call: {"done": [call["number"]]}, 60)

    result, _ = drive.same(build, scenario)
    assert result == {"done": [*range(60), sum(range(60))]}


class Watched(LmdbSaver):
    """A saver that counts the tasks whose writes are acknowledged."""

    def expect(self, tasks: int) -> None:
        self._results = threading.Semaphore(0)
        self._expected = tasks

    def put_writes(self, config: Any, writes: Any, *args: Any, **options: Any) -> None:
        super().put_writes(config, writes, *args, **options)
        self._count(writes)

    async def aput_writes(self, config: Any, writes: Any, *args: Any, **options: Any) -> None:
        await super().aput_writes(config, writes, *args, **options)
        self._count(writes)

    def _count(self, writes: Any) -> None:
        if any(channel == "done" and value for channel, value in writes):
            self._results.release()

    def wait(self) -> None:
        for _ in range(self._expected):
            assert self._results.acquire(timeout=PATIENCE)


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("driver_type", [Driver, AsyncDriver], ids=["sync", "async"])
def test_only_the_failed_task_is_repeated(
    path: Path, driver_type: type[Driver], durability: str
) -> None:
    """One of five tasks fails after the writes of the others are stored."""
    ran: Counter[int] = Counter()

    def work(call: dict[str, int]) -> dict[str, Any]:
        number = call["number"]
        ran[number] += 1
        if number == 2 and ran[number] == 1:
            saver.wait()
            raise ConnectionError("the tool is not there")
        return {"done": [number]}

    build = fan_out(work, 5)
    with Watched(path) as saver:
        saver.expect(4)
        driver = driver_type(build, saver, durability=durability)
        with pytest.raises(ConnectionError):
            driver.invoke({"done": []})
        failed = facts(driver.state())
    assert ran == dict.fromkeys(range(5), 1)
    assert failed["next"] == ("work",)
    assert [error for _, error, _, _ in failed["tasks"]].count(None) == 4
    assert "the tool is not there" in str(failed["tasks"][2][1])
    with LmdbSaver(path) as reopened:
        driver = driver_type(build, reopened, durability=durability)
        assert facts(driver.state()) == failed
        assert driver.invoke(None) == {"done": [*range(5), 10]}
    assert ran == {**dict.fromkeys(range(5), 1), 2: 2}


@pytest.mark.parametrize("driver_type", [Driver, AsyncDriver], ids=["sync", "async"])
def test_prune_of_a_failed_thread_keeps_the_writes_of_its_tasks(
    path: Path, driver_type: type[Driver]
) -> None:
    ran: Counter[int] = Counter()

    def work(call: dict[str, int]) -> dict[str, Any]:
        ran[call["number"]] += 1
        if call["number"] == 0 and ran[0] == 1:
            saver.wait()
            raise ConnectionError("the tool is not there")
        return {"done": [call["number"]]}

    build = fan_out(work, 3)
    with Watched(path) as saver:
        saver.expect(2)
        driver = driver_type(build, saver)
        with pytest.raises(ConnectionError):
            driver.invoke({"done": []}, at_thread())
        saver.prune(["t"], strategy="keep_latest")
        saver.copy_thread("t", "copy")
        assert driver.invoke(None) == {"done": [0, 1, 2, 3]}
        assert driver.invoke(None, at_thread("copy")) == {"done": [0, 1, 2, 3]}
    assert ran == {0: 3, 1: 1, 2: 1}


class Album(TypedDict):
    messages: Annotated[list[Any], operator.add]
    seen: Annotated[list[int], operator.add]


@pytest.mark.parametrize("reopened", [False, True])
def test_state_sent_to_tasks_is_stored_once(reopened: bool) -> None:
    """Three tasks per turn get all pictures so far. Each picture is stored once."""
    rng = Random(1)
    builder = StateGraph(Album)
    builder.add_node("look", lambda album: {"seen": [len(album["messages"])]})
    builder.add_conditional_edges(
        START,
        lambda album: [Send("look", {**album, "item": n}) for n in range(3)],
        ["look"],
    )
    kv = MemoryStore()
    graph = builder.compile(checkpointer=KvSaver(kv))
    pictures = 0
    for turn in range(8):
        if reopened:
            graph = builder.compile(checkpointer=KvSaver(kv))
        data = base64.b64encode(rng.randbytes(60_000)).decode()
        url = {"url": f"data:image/png;base64,{data}"}
        picture = HumanMessage([{"type": "image_url", "image_url": url}], id=f"{turn}")
        graph.invoke({"messages": [picture], "seen": []}, at_thread("t"))
        pictures += len(data)
    assert len(graph.get_state(at_thread("t")).values["seen"]) == 24
    assert reachability.stored_bytes(kv) < pictures
    reachability.check(kv)
