"""Graphs and savers that the tests of run states share."""

from __future__ import annotations

import operator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.workflows import get_checkpoint_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.base import BaseCheckpointSaver

SAVERS = ("lmdb", "memory", "sqlite")


class State(TypedDict, total=False):
    """A state with one list that every node may add to."""

    log: Annotated[list[Any], operator.add]


@contextmanager
def open_saver(kind: str) -> Iterator[BaseCheckpointSaver[Any]]:
    """Open an empty saver of a kind."""
    if kind == "lmdb":
        with LmdbSaver(":memory:") as saver:
            yield saver
    elif kind == "sqlite":
        with SqliteSaver.from_conn_string(":memory:") as sqlite:
            yield sqlite
    else:
        yield InMemorySaver()


def one_node(node: Callable[[Any], Any]) -> StateGraph[Any]:
    """Return a graph with one node, `work`."""
    return StateGraph(State).add_node("work", node).add_edge(START, "work")


def nested(node: Callable[[Any], Any]) -> StateGraph[Any]:
    """Return a graph whose node `work` is a graph with one node."""
    return one_node(one_node(node).compile())


def at(thread_id: str = "t") -> Any:
    """Return the config of a thread."""
    return {"configurable": {"thread_id": thread_id}}


class Flaky:
    """A node that fails while `broken`, and may ask before or after."""

    def __init__(self, ask: bool = False) -> None:
        self.broken = True
        self.ask = ask

    def __call__(self, state: State) -> State:
        answer = interrupt("sure?") if self.ask else "none"
        if self.broken:
            raise RuntimeError("broken")
        return {"log": [answer]}


def fail(graph: Any, given: Any) -> None:
    """Run a graph that fails."""
    with pytest.raises(RuntimeError, match="broken"):
        graph.invoke(given, at())


def state(saver: BaseCheckpointSaver[Any], graph: Any = None) -> str:
    """Return the state of the run of the thread `t`."""
    status = get_checkpoint_status("t", saver, graph=graph)
    assert status is not None
    assert status.is_complete == (status.state == "complete")
    return status.state
