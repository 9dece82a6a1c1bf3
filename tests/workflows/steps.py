"""Graphs whose nodes do what a test says, and the runs that they leave behind."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Annotated, Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.runnables import RunnableConfig


class State(TypedDict):
    """The nodes that ran, and an answer."""

    ran: Annotated[list[str], operator.add]
    answer: str


class Crash(BaseException):
    """The end of a process, as far as the graph can tell."""


class Steps:
    """A graph of the nodes `first`, `second` and `third`.

    Attributes:
        actions: What each node does before it returns; nothing by default. A test changes it.
    """

    def __init__(self) -> None:
        self.actions: dict[str, Callable[[], object]] = {}
        self.builder = StateGraph(State)
        nodes = ("first", "second", "third")
        for name in nodes:
            self.builder.add_node(name, self._node(name))
        for edge in zip((START, *nodes), (*nodes, END), strict=True):
            self.builder.add_edge(*edge)

    def _node(self, name: str) -> Any:
        def run(state: State) -> dict[str, Any]:
            found = self.actions.get(name, lambda: None)()
            return {"ran": [name], **({"answer": found} if isinstance(found, str) else {})}

        return run

    def compile(self, saver: Any, **options: Any) -> Any:
        """Return the graph on a saver."""
        return self.builder.compile(checkpointer=saver, **options)

    def fail(self, name: str, error: BaseException | None = None) -> None:
        """Let a node raise an error from now on; None: let it work again."""

        def act() -> None:
            if error is not None:
                raise error

        self.actions[name] = act

    def ask(self, name: str) -> None:
        """Let a node wait for an answer."""
        self.actions[name] = lambda: interrupt("go on?")

    def leave_crashed(self, saver: Any, thread_id: str) -> None:
        """Leave a run that crashed in its second node."""
        self._leave(saver, thread_id, Crash())

    def leave_failed(self, saver: Any, thread_id: str) -> None:
        """Leave a run whose second node raised an error."""
        self._leave(saver, thread_id, RuntimeError("broken"))

    def leave_waiting(self, saver: Any, thread_id: str) -> None:
        """Leave a run that waits for an answer in its second node."""
        self.ask("second")
        self.compile(saver).invoke({"ran": []}, at(thread_id))
        del self.actions["second"]

    def leave_complete(self, saver: Any, thread_id: str) -> None:
        """Leave a run that is complete."""
        self.compile(saver).invoke({"ran": []}, at(thread_id))

    def _leave(self, saver: Any, thread_id: str, error: BaseException) -> None:
        self.fail("second", error)
        try:
            self.compile(saver).invoke({"ran": []}, at(thread_id))
        except type(error):
            del self.actions["second"]


def at(thread_id: str) -> RunnableConfig:
    """Return the config of a thread."""
    return {"configurable": {"thread_id": thread_id}}
