"""Copies of checkpoints, and concurrent runs: each branch keeps its own values."""

from __future__ import annotations

import itertools
import operator
import threading
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph

from tests.graphs.driving import Drive, at_thread, facts

if TYPE_CHECKING:
    from collections.abc import Callable


class State(TypedDict):
    value: str
    log: Annotated[list[str], operator.add]


def counting() -> Callable[[Any], Any]:
    """Return a graph of two nodes that return a different text in each run."""
    count = itertools.count()

    def node(_: State) -> dict[str, Any]:
        said = f"v{next(count)} " * 300
        return {"value": said, "log": [said]}

    builder = StateGraph(State)
    builder.add_node("a", node)
    builder.add_node("b", node)
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")
    return lambda saver: builder.compile(checkpointer=saver)


def at(driver: Any, step: str) -> Any:
    """Return the config of the first checkpoint whose next node is given."""
    return [one.config for one in driver.history() if one.next == (step,)][-1]


def test_copy_of_a_branch_has_the_values_of_the_branch(drive: Drive) -> None:
    """A replay creates a second branch with the versions of the first."""

    def scenario(driver: Any) -> Any:
        first = driver.invoke({"value": "begin"})
        old = driver.state()
        driver.invoke(None, at(driver, "a"))
        new = driver.state()
        copies = [driver.update(None, one.config, as_node="__copy__") for one in (old, new)]
        copied = [driver.state(one) for one in copies]
        assert [one.values for one in copied] == [old.values, new.values]
        assert old.values == first
        return [facts(one) for one in copied]

    assert [one["next"] for one in drive.same(counting, scenario)] == [(), ()]


def test_copy_continues_at_the_next_node_of_the_original(drive: Drive) -> None:
    """The copy does not inherit a trigger that another branch has at the same version."""

    def scenario(driver: Any) -> Any:
        driver.invoke({"value": "begin"})
        original = [one for one in driver.history() if one.next == ("b",)][-1]
        driver.invoke({"value": "again"}, at(driver, "a"))
        driver.update({"value": "said"}, at(driver, "a"), as_node="a")
        copies = [
            driver.update(None, one.config, as_node="__copy__")
            for one in (original, *driver.history())
            if one.parent_config
        ]
        return [facts(driver.state(one)) for one in copies]

    drive.same(counting, scenario)


def test_run_from_an_edited_copy(drive: Drive) -> None:
    def scenario(driver: Any) -> Any:
        driver.invoke({"value": "begin"})
        driver.invoke(None, at(driver, "a"))
        edits = [({"value": "edited"}, "a")]
        edited = driver.update(edits, at(driver, "a"), as_node="__copy__")
        return [facts(driver.state(edited)), driver.invoke(None, edited), facts(driver.state())]

    drive.same(counting, scenario)


@pytest.mark.parametrize("keep", [1, 2])
def test_run_continues_after_its_parent_is_pruned(drive: Drive, keep: int) -> None:
    """Two runs start from one checkpoint. The slower run loses its parent."""
    reached, overtaken = threading.Event(), threading.Event()

    def slow(state: State) -> dict[str, Any]:
        if state["value"] == "slow":
            reached.set()
            overtaken.wait(30)
        return {"log": [f"second of {state['value']}"]}

    builder = StateGraph(State)
    builder.add_node("first", lambda state: {"log": [f"first of {state['value']}"]})
    builder.add_node("second", slow)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    with (
        drive.on_lmdb(lambda saver: builder.compile(checkpointer=saver)) as driver,
        driver.saver(),
    ):
        driver.invoke({"value": "begin", "log": ["begin"]})
        begin = driver.state().config
        returned: list[Any] = []
        run = threading.Thread(
            target=lambda: returned.append(driver.invoke({"value": "slow"}, begin))
        )
        run.start()
        assert reached.wait(30)
        fast = driver.invoke({"value": "fast"}, begin)
        with driver.saver() as saver:
            saver.prune(["t"], strategy="keep_latest", keep_last=keep)
        overtaken.set()
        run.join()
        (slow_result,) = returned
        found = [one.values for one in driver.history(at_thread())]
        assert slow_result in found
        assert fast in found
        assert slow_result["log"][-2:] == ["first of slow", "second of slow"]
