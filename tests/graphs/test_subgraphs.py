"""Subgraphs: ten levels, with and without their own memory, and after prune."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from tests.graphs.driving import Drive, Driver, facts, story

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH = 10


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def nested(depth: int) -> StateGraph[Any]:
    """Return a graph of ten levels, each of which calls the next. The innermost asks."""
    builder = StateGraph(State)
    if depth == 0:
        builder.add_node("ask", lambda _: {"log": [f"answer {interrupt('question')}"]})
        builder.add_edge(START, "ask")
        return builder
    inner = nested(depth - 1).compile()
    name = f"research_level_{depth}"

    def call(_: State) -> Any:
        return {"log": [f"in {name}", *inner.invoke({"log": []})["log"]]}

    builder.add_node(name, call)
    builder.add_edge(START, name)
    return builder


def namespaces(driver: Driver) -> set[str]:
    """Return the namespaces of the thread; each task id is replaced by a `*`."""
    with driver.saver() as saver:
        found = {one.config["configurable"]["checkpoint_ns"] for one in saver.list(None)}
    return {
        "|".join(f"{part.split(':')[0]}:*" if ":" in part else part for part in ns.split("|"))
        for ns in found
    }


def test_ten_levels_of_subgraphs(drive: Drive) -> None:
    """The innermost graph asks. Its namespace is longer than an LMDB key."""

    def scenario(driver: Driver) -> Any:
        driver.invoke({"log": []})
        asked = facts(driver.state())
        longest = max(
            len(one.config["configurable"]["checkpoint_ns"]) for one in every_checkpoint(driver)
        )
        result = driver.invoke(Command(resume="yes"))
        return [asked, longest, result, sorted(namespaces(driver)), story(driver)]

    def build() -> Callable[[Any], Any]:
        builder = nested(DEPTH)
        return lambda saver: builder.compile(checkpointer=saver)

    asked, longest, result, found, _ = drive.same(build, scenario)
    assert asked["interrupts"] == ["question"]
    assert longest > 511
    assert len(found) == DEPTH + 1
    assert result["log"] == [
        *(f"in research_level_{level}" for level in range(DEPTH, 0, -1)),
        "answer yes",
    ]


def every_checkpoint(driver: Driver) -> list[Any]:
    with driver.saver() as saver:
        return [*saver.list(None)]


def test_get_state_reaches_the_innermost_graph(drive: Drive) -> None:
    """The option is `subgraphs=True`."""

    def build() -> Callable[[Any], Any]:
        inner = StateGraph(State)
        inner.add_node("ask", lambda _: {"log": [interrupt("question")]})
        inner.add_edge(START, "ask")
        middle = StateGraph(State)
        middle.add_node("inner", inner.compile())
        middle.add_edge(START, "inner")
        outer = StateGraph(State)
        outer.add_node("middle", middle.compile())
        outer.add_edge(START, "middle")
        return lambda saver: outer.compile(checkpointer=saver)

    def scenario(driver: Driver) -> Any:
        driver.invoke({"log": ["begin"]})
        snapshot = driver.state(subgraphs=True)
        seen = []
        while snapshot.tasks and snapshot.tasks[0].state:
            snapshot = snapshot.tasks[0].state  # type: ignore[assignment]
            seen.append((snapshot.values, snapshot.next))
        deepest = driver.state(snapshot.config)
        driver.update({"log": ["from outside"]}, snapshot.config)
        return [seen, facts(deepest), driver.invoke(Command(resume="yes"))]

    seen, deepest, _ = drive.same(build, scenario)
    assert [step for _, step in seen] == [("inner",), ("ask",)]
    assert deepest["values"] == {"log": ["begin"]}


def remembering(memory: bool | None) -> Callable[[], Callable[[Any], Any]]:
    """Return an agent that calls a subgraph; `memory` is the `checkpointer` of the subgraph."""

    def build() -> Callable[[Any], Any]:
        sub = StateGraph(State)
        sub.add_node("count", lambda state: {"log": [f"call {len(state['log'])}"]})
        sub.add_edge(START, "count")
        inner = sub.compile(checkpointer=memory)

        def call(_: State) -> dict[str, Any]:
            return {"log": [f"inner has {inner.invoke({'log': ['asked']})['log']}"]}

        outer = StateGraph(State)
        outer.add_node("agent", call)
        outer.add_edge(START, "agent")
        return lambda saver: outer.compile(checkpointer=saver)

    return build


def test_subgraph_with_its_own_memory_keeps_its_state(drive: Drive) -> None:
    """A `checkpointer=True` subgraph keeps its state between turns. Other subgraphs do not."""

    def scenario(driver: Driver) -> Any:
        turns = [driver.invoke({"log": []})["log"][-1] for _ in range(3)]
        return [turns, sorted(namespaces(driver)), story(driver)]

    turns, found, _ = drive.same(remembering(True), scenario)
    assert turns[2].count("asked") == 3
    assert found == ["", "agent"]


def test_subgraph_without_memory_starts_empty_in_each_call(drive: Drive) -> None:
    def scenario(driver: Driver) -> Any:
        turns = [driver.invoke({"log": []})["log"][-1] for _ in range(3)]
        return [turns, sorted(namespaces(driver)), story(driver)]

    turns, found, _ = drive.same(remembering(None), scenario)
    assert turns[2].count("asked") == 1
    assert found == ["", "agent:*"]


def test_prune_keeps_the_memory_of_a_subgraph(drive: Drive) -> None:
    def scenario(driver: Driver, prune: bool) -> Any:
        for _ in range(3):
            driver.invoke({"log": []})
            if prune:
                with driver.saver() as saver:
                    saver.prune(["t"], strategy="keep_latest")
        return driver.invoke({"log": []})["log"]

    expected = drive.same(remembering(True), lambda driver: scenario(driver, prune=False))
    assert expected[-1].count("asked") == 4
    with drive.on_lmdb(remembering(True)()) as driver:
        with driver.saver() as saver:
            saver.delete_thread("t")
        assert scenario(driver, prune=True) == expected
        with driver.saver() as saver:
            saver.prune(["t"], strategy="keep_latest")
            assert len([*saver.list(None)]) == 2


def test_prune_deletes_namespaces_of_finished_calls(drive: Drive) -> None:
    with drive.on_lmdb(remembering(None)()) as driver:
        for _ in range(3):
            driver.invoke({"log": []})
        before = driver.state().values
        assert len(every_checkpoint(driver)) > 10
        with driver.saver() as saver:
            saver.prune(["t"], strategy="keep_latest")
        assert namespaces(driver) == {""}
        assert len(every_checkpoint(driver)) == 1
        assert driver.state().values == before
        assert len(driver.invoke({"log": []})["log"]) == 4


def test_prune_keeps_a_waiting_call_at_every_level(drive: Drive) -> None:
    builder = nested(4)
    with drive.on_lmdb(lambda saver: builder.compile(checkpointer=saver)) as driver:
        driver.invoke({"log": []})
        with driver.saver() as saver:
            saver.prune(["t"], strategy="keep_latest")
            saver.copy_thread("t", "copy")
            saver.delete_thread("t")
            saver.copy_thread("copy", "t")
        assert len(namespaces(driver)) == 5
        assert driver.invoke(Command(resume="yes"))["log"][-1] == "answer yes"


def test_parallel_calls_of_a_subgraph_have_their_own_answers(drive: Drive) -> None:
    """Each call has its own namespace."""

    def build() -> Callable[[Any], Any]:
        sub = StateGraph(State)
        sub.add_node("ask", lambda state: {"log": [f"{state['log'][0]}{interrupt('?')}"]})
        sub.add_edge(START, "ask")
        outer = StateGraph(State)
        outer.add_node("sub", sub.compile())
        outer.add_conditional_edges(START, lambda _: [Send("sub", {"log": [n]}) for n in "ab"])
        return lambda saver: outer.compile(checkpointer=saver)

    def scenario(driver: Driver) -> Any:
        driver.invoke({"log": []})
        asked = driver.state().interrupts
        answers = {one.id: str(number) for number, one in enumerate(asked)}
        return [len(asked), driver.invoke(Command(resume=answers)), story(driver)]

    asked, result, _ = drive.same(build, scenario)
    assert asked == 2
    assert result["log"] == ["a", "a0", "b", "b1"]
