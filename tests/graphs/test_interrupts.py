"""Interrupts: several tools ask, and get their answers together, one by one, or never."""

from __future__ import annotations

import operator
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from tests.graphs.driving import Drive, Driver, at_thread, facts, story

if TYPE_CHECKING:
    from collections.abc import Callable


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def tools() -> Callable[[Any], Any]:
    """Return a builder of a graph with three parallel tools, each of which asks; then a summary."""

    def tool(call: dict[str, Any]) -> dict[str, Any]:
        answer = interrupt({"tool": call["name"]})
        return {"log": [f"{call['name']}: {answer}"]}

    builder = StateGraph(State)
    builder.add_node("plan", lambda _: {"log": ["plan"]})
    builder.add_node("tool", tool)
    builder.add_node("sum", lambda state: {"log": [f"{len(state['log'])} entries"]})
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda _: [Send("tool", {"name": name}) for name in "abc"], ["tool"]
    )
    builder.add_edge("tool", "sum")
    builder.add_edge("sum", END)
    return lambda saver: builder.compile(checkpointer=saver)


def test_tools_answered_together(drive: Drive) -> None:
    """Each answer reaches its own tool."""

    def scenario(driver: Driver) -> Any:
        driver.invoke({"log": []})
        asked = driver.state()
        answers = {one.id: one.value["tool"].upper() for one in asked.interrupts}
        return [facts(asked), driver.invoke(Command(resume=answers)), story(driver)]

    asked, result, _ = drive.same(tools, scenario)
    assert asked["interrupts"] == [{"tool": name} for name in "abc"]
    assert result == {"log": ["plan", "a: A", "b: B", "c: C", "4 entries"]}


def test_tools_answered_one_by_one(drive: Drive) -> None:
    """Answered tools keep their answers while the other tools wait."""

    def scenario(driver: Driver) -> Any:
        driver.invoke({"log": []})
        seen = []
        for name in "cab":
            (asked,) = (i for i in driver.state().interrupts if i.value["tool"] == name)
            driver.invoke(Command(resume={asked.id: name.upper()}))
            seen.append(facts(driver.state()))
        return [*seen, story(driver)]

    first, second, last, _ = drive.same(tools, scenario)
    assert first["interrupts"] == [{"tool": "a"}, {"tool": "b"}]
    assert second["interrupts"] == [{"tool": "b"}]
    assert last["values"] == {"log": ["plan", "a: A", "b: B", "c: C", "4 entries"]}


def test_prune_does_not_affect_waiting_tools(drive: Drive) -> None:
    with drive.on_lmdb(tools()) as driver:
        driver.invoke({"log": []})
        asked = driver.state()
        driver.invoke(Command(resume={asked.interrupts[1].id: "B"}))
        before = facts(driver.state())
        with driver.saver() as saver:
            saver.prune(["t"], strategy="keep_latest")
        assert facts(driver.state()) == before
        assert len(driver.history()) == 1
        left = {one.id: one.value["tool"].upper() for one in driver.state().interrupts}
        assert len(left) == 2
        result = driver.invoke(Command(resume=left))
    assert result == {"log": ["plan", "a: A", "b: B", "c: C", "4 entries"]}


def test_copy_of_an_interrupted_thread_asks_too(drive: Drive) -> None:
    """The copy takes its own answers."""
    with drive.on_lmdb(tools()) as driver:
        driver.invoke({"log": []})
        with driver.saver() as saver:
            saver.copy_thread("t", "copy")
        results = []
        for thread in ("copy", "t"):
            asked = driver.state(at_thread(thread)).interrupts
            answers = {one.id: thread for one in asked}
            results.append(driver.invoke(Command(resume=answers), at_thread(thread)))
    assert results == [
        {"log": ["plan", *(f"{name}: {thread}" for name in "abc"), "4 entries"]}
        for thread in ("copy", "t")
    ]


def questions() -> Callable[[Any], Any]:
    """Return a builder of a node that asks three times and counts its runs."""

    ran: Counter[str] = Counter()

    def ask(_: State) -> dict[str, Any]:
        ran["ask"] += 1
        answers = [interrupt(f"question {number}") for number in range(3)]
        return {"log": [*answers, f"ran {ran['ask']} times"]}

    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    return lambda saver: builder.compile(checkpointer=saver)


def test_answers_to_one_node_are_kept_in_order(drive: Drive) -> None:
    def scenario(driver: Driver) -> Any:
        driver.invoke({"log": []})
        seen = [facts(driver.state())]
        for number in range(3):
            driver.invoke(Command(resume=f"answer {number}"))
            seen.append(facts(driver.state()))
        return [*seen, story(driver)]

    *seen, last, _ = drive.same(questions, scenario)
    assert [one["interrupts"] for one in seen] == [[f"question {n}"] for n in range(3)]
    assert last["values"]["log"] == ["answer 0", "answer 1", "answer 2", "ran 4 times"]


def test_false_answers_and_none_are_answers(drive: Drive) -> None:
    def scenario(driver: Driver) -> Any:
        driver.invoke({"log": []})
        for answer in (False, 0, ""):
            driver.invoke(Command(resume=answer))
        return driver.state().values

    assert drive.same(questions, scenario) == {"log": [False, 0, "", "ran 4 times"]}


def test_breakpoints_and_commands(drive: Drive) -> None:
    """The run stops before and after nodes. A command answers, updates, and jumps to a node."""

    def build() -> Callable[[Any], Any]:
        builder = StateGraph(State)
        builder.add_node("one", lambda _: Command(goto="two", update={"log": ["one"]}))
        builder.add_node("two", lambda _: {"log": [f"two {interrupt('which?')}"]})
        builder.add_node("three", lambda _: {"log": ["three"]})
        builder.add_edge(START, "one")
        return lambda saver: builder.compile(
            checkpointer=saver, interrupt_before=["two"], interrupt_after=["three"]
        )

    def scenario(driver: Driver) -> Any:
        driver.invoke({"log": []})
        seen = [facts(driver.state())]
        driver.invoke(None)
        seen.append(facts(driver.state()))
        driver.invoke(Command(resume="this", update={"log": ["said"]}, goto="three"))
        return [*seen, facts(driver.state()), story(driver)]

    stopped, asked, last, _ = drive.same(build, scenario)
    assert stopped["next"] == ("two",)
    assert asked["interrupts"] == ["which?"]
    assert sorted(last["values"]["log"]) == ["one", "said", "three", "two this"]
