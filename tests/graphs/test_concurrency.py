"""Concurrent graphs: threads, asyncio tasks, event loops, cancelled runs."""

from __future__ import annotations

import asyncio
import operator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.graphs.conftest import needs_contexts
from tests.graphs.driving import at_thread
from tests.stored import thread_ids

if TYPE_CHECKING:
    from pathlib import Path


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def conversation(saver: Any) -> Any:
    """Return a builder of a graph with two parallel nodes, then a question."""
    builder = StateGraph(State)
    builder.add_node("left", lambda state: {"log": [f"left of {state['log'][-1]}"]})
    builder.add_node("right", lambda state: {"log": [f"right of {state['log'][-1]}"]})
    builder.add_node("ask", lambda _: {"log": [interrupt("question")]})
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge(["left", "right"], "ask")
    return builder.compile(checkpointer=saver)


def expected(thread: str, turns: int) -> list[str]:
    return [
        entry
        for number in range(turns)
        for entry in (
            f"{thread}.{number}",
            f"left of {thread}.{number}",
            f"right of {thread}.{number}",
            f"answer {number}",
        )
    ]


def talk(graph: Any, thread: str, turns: int) -> None:
    at = at_thread(thread)
    for number in range(turns):
        graph.invoke({"log": [f"{thread}.{number}"]}, at)
        graph.invoke(Command(resume=f"answer {number}"), at)


async def atalk(graph: Any, thread: str, turns: int) -> None:
    at = at_thread(thread)
    for number in range(turns):
        await graph.ainvoke({"log": [f"{thread}.{number}"]}, at)
        await graph.ainvoke(Command(resume=f"answer {number}"), at)


def check(path: Path, threads: list[str], turns: int) -> None:
    """Check that each conversation is complete, and that the store has no other threads."""
    with LmdbSaver(path) as saver:
        graph = conversation(saver)
        for thread in threads:
            assert graph.get_state(at_thread(thread)).values["log"] == expected(thread, turns)
            assert len([*graph.get_state_history(at_thread(thread))]) == 4 * turns
        assert thread_ids(saver) == {*threads}


def test_hundred_threads_share_a_saver(path: Path) -> None:
    """Each thread has its own conversation."""
    names = [f"thread {number}" for number in range(100)]
    with LmdbSaver(path) as saver, ThreadPoolExecutor(100) as pool:
        graph = conversation(saver)
        list(pool.map(lambda name: talk(graph, name, 2), names))
    check(path, names, 2)


@needs_contexts
def test_two_hundred_tasks_share_a_saver(path: Path) -> None:
    """All tasks run in one loop."""
    names = [f"task {number}" for number in range(200)]

    async def go() -> None:
        async with LmdbSaver(path) as saver:
            graph = conversation(saver)
            await asyncio.gather(*(atalk(graph, name, 1) for name in names))

    asyncio.run(go())
    check(path, names, 1)


@needs_contexts
def test_each_turn_runs_in_a_new_loop(path: Path) -> None:
    """The saver and the graph are created before the first loop."""
    names = ["one", "two"]
    with LmdbSaver(path) as saver:
        graph = conversation(saver)

        async def turn(number: int) -> None:
            for name in names:
                await graph.ainvoke({"log": [f"{name}.{number}"]}, at_thread(name))
                await graph.ainvoke(Command(resume=f"answer {number}"), at_thread(name))

        for number in range(4):
            asyncio.run(turn(number))
    check(path, names, 4)


@needs_contexts
def test_threads_and_tasks_share_a_saver(path: Path) -> None:
    names = [f"{kind} {number}" for kind in ("sync", "async") for number in range(8)]
    with LmdbSaver(path) as saver, ThreadPoolExecutor(8) as pool:
        graph = conversation(saver)

        async def go() -> None:
            await asyncio.gather(*(atalk(graph, name, 2) for name in names[8:]))

        running = [pool.submit(talk, graph, name, 2) for name in names[:8]]
        asyncio.run(go())
        for one in running:
            one.result()
    check(path, names, 2)


def test_savers_on_one_path_share_the_store(path: Path) -> None:
    """Closing one saver does not affect the others."""
    names = [f"thread {number}" for number in range(12)]

    def work(name: str) -> None:
        with LmdbSaver(path) as saver:
            talk(conversation(saver), name, 2)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, names))
    check(path, names, 2)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_cancelled_run_can_be_continued(path: Path, durability: str) -> None:
    """A run that is cancelled within a step leaves whole checkpoints."""

    async def go() -> list[list[str]]:
        reached = asyncio.Event()
        held = [True]

        async def hold(_: State) -> dict[str, Any]:
            if held[0]:
                reached.set()
                await asyncio.get_running_loop().create_future()
            return {"log": ["held"]}

        builder = StateGraph(State)
        builder.add_node("first", lambda _: {"log": ["first"]})
        builder.add_node("hold", hold)
        builder.add_edge(START, "first")
        builder.add_edge("first", "hold")
        results = []
        async with LmdbSaver(path) as saver:
            graph = builder.compile(checkpointer=saver)
            for thread in ("one", "two"):
                held[0] = True
                reached.clear()
                at = at_thread(thread)
                run = asyncio.ensure_future(
                    graph.ainvoke({"log": ["begin"]}, at, durability=durability)
                )
                await reached.wait()
                run.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await run
                held[0] = False
                state = await graph.aget_state(at)
                given = None if state.next else {"log": ["begin"]}
                results.append((await graph.ainvoke(given, at, durability=durability))["log"])
        return results

    assert asyncio.run(go()) == [["begin", "first", "held"]] * 2
