"""A graph with every kind of channel, and two savers on which it makes equal journeys."""

from __future__ import annotations

import operator
from concurrent.futures import wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypedDict
from unittest import mock
from uuid import UUID

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.pregel import _checkpoint
from langgraph.pregel._executor import BackgroundExecutor
from langgraph.types import Command, Send, interrupt

from tests.graphs.driving import at_thread, facts
from tests.saver.values import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langgraph.checkpoint.base import CheckpointTuple


def merge(files: dict[str, str], changed: dict[str, str]) -> dict[str, str]:
    return {**files, **changed}


def extend(notes: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*notes, *(one for write in writes for one in write)]


class Inner(TypedDict):
    log: Annotated[list[str], operator.add]
    latest: str


class State(Inner):
    messages: Annotated[list[AnyMessage], add_messages]
    files: Annotated[dict[str, str], merge]
    notes: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=3)]


NODES = ("plan", "work", "sub", "scribble", "ask", "tool")


def _plan(state: State) -> dict[str, Any]:
    count = len(state["log"])
    answer = AIMessage(f"answer {count} to {state.get('latest')}", id=f"m{count % 7}")
    return {"log": [f"plan {count}"], "messages": [answer], "notes": [f"plan {count}"]}


def _route(state: State) -> Any:
    count = len(state["log"])
    if count % 5 == 4:
        return [Send("tool", {"number": count}), Send("tool", {"number": count + 1})]
    where = ("work", "sub", "scribble", "ask", "sub", END)
    return where[(count + len(state.get("latest") or "")) % len(where)]


def _work(state: State) -> Command[Any]:
    count = len(state["log"])
    files = {f"file {count % 3}": words(count, 80)}
    update = {"latest": f"work {count}", "files": files, "notes": ["work"], "log": ["work"]}
    return Command(goto="plan" if count % 3 == 0 else END, update=update)


def _scribble(state: State) -> None:
    """Change a value in place, without an update."""
    state["files"]["scribbled"] = words(len(state["log"]), 70)
    if state["messages"]:
        state["messages"][0].additional_kwargs["scribbled"] = len(state["log"])


def _ask(state: State) -> dict[str, Any]:
    return {"log": [f"asked {interrupt(len(state['log']))}"], "latest": "asked"}


def _tool(call: dict[str, Any]) -> dict[str, Any]:
    return {"log": [f"tool {call.get('number')}"], "notes": [f"tool {call.get('number')}"]}


def _inner(memory: bool) -> Any:
    def first(state: Inner) -> dict[str, Any]:
        return {"log": [f"first {len(state['log'])}"], "latest": "inside"}

    def second(state: Inner) -> dict[str, Any]:
        if len(state["log"]) % 2:
            return {"log": [f"answered {interrupt('inside')}"]}
        return {"log": ["second"]}

    builder = StateGraph(Inner)
    builder.add_node("first", first)
    builder.add_node("second", second)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    return builder.compile(checkpointer=True if memory else None)


def build(memory: bool) -> Callable[[Any], Any]:
    """Return a graph of all nodes. An inner graph has its own memory or not."""
    builder = StateGraph(State)
    builder.add_node("plan", _plan)
    builder.add_node("work", _work, destinations=("plan", END))
    builder.add_node("sub", _inner(memory))
    builder.add_node("scribble", _scribble)
    builder.add_node("ask", _ask)
    builder.add_node("tool", _tool)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", _route)
    return lambda saver: builder.compile(checkpointer=saver)


class HandedOver(InMemorySaver):
    """LangGraph's own saver, except that each checkpoint has the values passed with it.

    InMemorySaver stores only the values in `new_versions`, so it misses changes in place by a node.
    """

    def __init__(self) -> None:
        super().__init__()
        self.handed_over: dict[tuple[str, str, str], tuple[str, bytes]] = {}

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        found = super().put(config, checkpoint, metadata, new_versions)
        values = self.serde.dumps_typed(checkpoint["channel_values"])
        self.handed_over[_key(found)] = values
        return found

    def get_tuple(self, config: Any) -> Any:
        found = super().get_tuple(config)
        return found and self._corrected(found)

    def list(self, config: Any, **options: Any) -> Any:
        return map(self._corrected, super().list(config, **options))

    def _corrected(self, found: CheckpointTuple) -> CheckpointTuple:
        given = self.serde.loads_typed(self.handed_over[_key(found.config)])
        found.checkpoint["channel_values"].update(given)
        return found


def _key(config: Any) -> tuple[str, str, str]:
    at = config["configurable"]
    return at["thread_id"], at["checkpoint_ns"], at["checkpoint_id"]


class Journeys:
    """A context in which LangGraph does the same in each journey.

    Journeys that begin at one number create checkpoints with equal ids. Work that LangGraph does in
    the background is done immediately, so that a node cannot change a value while it is stored.
    """

    def __init__(self) -> None:
        self.number = 1

    def _id(self, **_: Any) -> UUID:
        self.number += 1
        return UUID(int=self.number << 64)

    def latest(self) -> str:
        """Return the last id."""
        return str(UUID(int=self.number << 64))

    @contextmanager
    def begin(self) -> Iterator[None]:
        submit = BackgroundExecutor.submit

        def submit_and_wait(*args: Any, **options: Any) -> Any:
            found = submit(*args, **options)
            wait([found])
            return found

        with (
            mock.patch.object(_checkpoint, "uuid6", self._id),
            mock.patch.object(BackgroundExecutor, "submit", submit_and_wait),
        ):
            yield


def outcome(act: Callable[[], Any]) -> Any:
    """Return the result of a journey in LangGraph, or the error that it raises."""
    try:
        found = act()
    except Exception as error:
        if type(error).__module__.startswith("langgraph.checkpoint.lmdb"):
            raise
        return type(error), str(error)
    return {k: v for k, v in found.items() if k != "__interrupt__"} if found else found


def contents(found: CheckpointTuple) -> dict[str, Any]:
    """Return the content of a checkpoint that is equal on every saver."""
    metadata = {k: v for k, v in found.metadata.items() if k != "writes"}
    values = found.checkpoint["channel_values"]
    writes = [row for row in found.pending_writes or [] if row[1] != "__error__"]
    return {
        "values": dict(sorted(values.items())),
        "metadata": metadata,
        "writes": writes,
        "versions": sorted(found.checkpoint["channel_versions"]),
    }


def state(graph: Any, config: Any) -> Any:
    """Return the state that the graph reads from a checkpoint."""
    at = config["configurable"]
    return facts(
        graph.get_state(
            at_thread(checkpoint_ns=at["checkpoint_ns"], checkpoint_id=at["checkpoint_id"])
        )
    )
