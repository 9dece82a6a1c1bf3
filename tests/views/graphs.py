"""Graphs whose stores the tests of views and of the command line look at."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import LmdbSaver

HOSTILE = "\x1b[2J\x07evil\u202e\nsecond line"
"""Text that a terminal would obey."""


class State(TypedDict, total=False):
    """A state with a list, a text and a nested value."""

    log: Annotated[list[Any], operator.add]
    document: str
    settings: dict[str, Any]


def at(thread_id: str, **more: Any) -> Any:
    """Return the config of a thread."""
    return {"configurable": {"thread_id": thread_id}, **more}


def chat(saver: LmdbSaver, thread_id: str = "chat", **more: Any) -> None:
    """Run two turns with a tool call."""

    def model(state: MessagesState) -> dict[str, Any]:
        last = state["messages"][-1]
        if isinstance(last, HumanMessage):
            call = {"name": "weather", "args": {"city": "Oslo"}, "id": "call-1"}
            return {"messages": [AIMessage("", id=f"ai-{last.id}", tool_calls=[call])]}
        return {"messages": [AIMessage(f"It is {last.content}.", id=f"answer-{last.id}")]}

    def tools(state: MessagesState) -> dict[str, Any]:
        number = len(state["messages"])
        answer = ToolMessage("sunny", id=f"tool-{number}", tool_call_id="call-1")
        return {"messages": [answer]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_node("tools", tools)
    builder.add_edge(START, "model")
    builder.add_conditional_edges(
        "model", lambda state: "tools" if state["messages"][-1].tool_calls else "__end__"
    )
    builder.add_edge("tools", "model")
    graph = builder.compile(checkpointer=saver)
    for turn in (1, 2):
        question = HumanMessage("How is the weather in Oslo?", id=f"question-{turn}")
        graph.invoke({"messages": [question]}, at(thread_id, **more))


def waiting(saver: LmdbSaver, thread_id: str = "waiting") -> None:
    """Run a graph that asks two questions in one superstep."""

    def ask(call: dict[str, Any]) -> dict[str, Any]:
        return {"log": [interrupt({"question": call["name"]})]}

    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_conditional_edges(
        START, lambda _: [Send("ask", {"name": name}) for name in ("color", "size")]
    )
    builder.compile(checkpointer=saver).invoke({"log": ["begin"]}, at(thread_id))


def failed(saver: LmdbSaver, thread_id: str = "failed", text: str = "no token") -> None:
    """Run a graph that fails in its second node."""

    def fail(_: State) -> dict[str, Any]:
        raise ValueError(text)

    builder = StateGraph(State)
    builder.add_node("prepare", lambda _: {"log": ["prepared"], "document": text})
    builder.add_node("publish", fail)
    builder.add_edge(START, "prepare")
    builder.add_edge("prepare", "publish")
    try:
        builder.compile(checkpointer=saver).invoke({"log": []}, at(thread_id))
    except ValueError:
        return
    raise AssertionError("the graph did not fail")


def forked(saver: LmdbSaver, thread_id: str = "forked") -> None:
    """Run a graph with a subgraph, and then two other branches; the last one is current."""

    def edit(_: State) -> dict[str, Any]:
        return {"log": ["edit"], "document": "The quick brown fox jumps over the lazy dog."}

    inner = StateGraph(State).add_node("edit", edit).add_edge(START, "edit").compile()
    builder = StateGraph(State)
    builder.add_node(
        "draft",
        lambda _: {
            "log": ["draft"],
            "document": "The slow brown fox jumps over the dog.",
            "settings": {"a": {"b": 1}},
        },
    )
    builder.add_node("review", inner)
    builder.add_node("finish", lambda _: {"log": ["finish"], "settings": {"a": {"b": 2, "c": [1]}}})
    builder.add_edge(START, "draft")
    builder.add_edge("draft", "review")
    builder.add_edge("review", "finish")
    graph = builder.compile(checkpointer=saver)
    graph.invoke({"log": []}, at(thread_id))
    drafted = next(
        found for found in graph.get_state_history(at(thread_id)) if found.next == ("review",)
    )
    graph.invoke(None, drafted.config)
    graph.update_state(drafted.config, {"document": "Another text."})


def delta(saver: LmdbSaver, thread_id: str = "delta") -> None:
    """Run a graph with a `DeltaChannel`, with a snapshot and writes after it."""

    def extend(state: list[str], writes: Any) -> list[str]:
        return [*state, *(one for write in writes for one in write)]

    log: Any = DeltaChannel(extend, snapshot_frequency=4)
    schema: Any = TypedDict("Schema", {"log": Annotated[list, log]})  # type: ignore[misc]
    builder = StateGraph(schema)
    builder.add_node("work", lambda _: {"log": ["work"]})
    builder.add_edge(START, "work")
    graph = builder.compile(checkpointer=saver)
    for turn in range(3):
        graph.invoke({"log": [f"turn {turn}"]}, at(thread_id))


def asked(saver: LmdbSaver, thread_id: str = "asked") -> Any:
    """Run a graph that asks, and return it."""
    builder = StateGraph(State)
    builder.add_node("ask", lambda _: {"log": [interrupt("Publish?")]})
    builder.add_edge(START, "ask")
    graph = builder.compile(checkpointer=saver)
    graph.invoke({"log": []}, at(thread_id))
    return graph


def answered(saver: LmdbSaver, thread_id: str = "answered") -> None:
    """Run a graph that asks, and answer it."""
    asked(saver, thread_id).invoke(Command(resume="yes"), at(thread_id))


def fill(saver: LmdbSaver) -> None:
    """Run every graph, each in a thread of its own name."""
    for run in (chat, waiting, failed, forked, delta, answered):
        run(saver)
