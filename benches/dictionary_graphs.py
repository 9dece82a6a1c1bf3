"""Graphs whose records train and test the compression dictionary."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benches.dictionary_messages import Prose


def _at(prose: Prose) -> Any:
    thread_id = prose.random.choice([prose.uuid(), "1", "user-42", prose.token("thread_", 12)])
    return {"configurable": {"thread_id": thread_id}, "max_concurrency": 1}


def _agent(prose: Prose, names: tuple[str, str], saver: Any = None, ask: bool = False) -> Any:
    model, tools = names

    def think(state: Any) -> Any:
        asked = isinstance(state["messages"][-1], HumanMessage)
        return {"messages": [prose.ai(0 if asked else prose.random.choice([80, 600]), call=asked)]}

    def act(state: Any) -> Any:
        if ask:
            interrupt({"action": "approve", "args": state["messages"][-1].tool_calls[0]["args"]})
        return {"messages": [prose.tool(call) for call in state["messages"][-1].tool_calls]}

    builder: Any = StateGraph(MessagesState)
    builder.add_node(model, think)
    builder.add_node(tools, act)
    builder.add_edge(START, model)
    builder.add_conditional_edges(
        model, lambda s: tools if s["messages"][-1].tool_calls else END, [tools, END]
    )
    builder.add_edge(tools, model)
    return builder.compile(checkpointer=saver)


def chat(saver: Any, prose: Prose) -> None:
    """Run a tool-calling agent, and fork its thread."""
    names = prose.random.choice([("agent", "tools"), ("model", "tools"), ("llm", "tool_node")])
    graph, config = _agent(prose, names, saver), _at(prose)
    first: list[Any] = [SystemMessage(prose.text(300), id=prose.uuid())]
    for _ in range(6):
        graph.invoke({"messages": [*first, prose.human()]}, config, durability="sync")
        first = []
    graph.update_state(config, {"messages": [prose.human()]}, as_node=START)
    past = list(graph.get_state_history(config, limit=6))[-1].config
    fork = graph.update_state(past, {"messages": [prose.human()]}, as_node=START)
    graph.invoke(None, fork, durability="sync")


def review(saver: Any, prose: Prose) -> None:
    """Run an agent whose tool calls need approval by a human."""
    graph, config = _agent(prose, ("assistant", "action"), saver, ask=True), _at(prose)
    for _ in range(4):
        graph.invoke({"messages": [prose.human()]}, config, durability="sync")
        graph.invoke(Command(resume={"type": "accept"}), config, durability="sync")


def team(saver: Any, prose: Prose) -> None:
    """Run a supervisor that calls agents, each a subgraph."""
    builder: Any = StateGraph(MessagesState)
    workers = ("researcher", "writer")

    def supervisor(state: Any) -> Any:
        done = sum(isinstance(m, ToolMessage) for m in state["messages"])
        goto = workers[done % 2] if len(state["messages"]) % 5 else END
        return Command(goto=goto, update={"messages": [prose.ai(80)]})

    builder.add_node("supervisor", supervisor, destinations=(*workers, END))
    for worker in workers:
        agent = _agent(prose, ("agent", "tools"))
        builder.add_node(worker, agent)
        builder.add_edge(worker, END)
    builder.add_edge(START, "supervisor")
    graph, config = builder.compile(checkpointer=saver), _at(prose)
    for _ in range(3):
        graph.invoke({"messages": [prose.human()]}, config, durability="sync")


class Plan(TypedDict, total=False):
    topic: str
    subjects: list[str]
    results: Annotated[list[str], operator.add]
    summary: str
    count: int


def fan(saver: Any, prose: Prose) -> None:
    """Run a plan, its parts in parallel, and a summary."""
    builder: Any = StateGraph(Plan)
    builder.add_node("plan", lambda _: {"subjects": [prose.text(30) for _ in range(4)]})
    builder.add_node("work", lambda s: {"results": [s["topic"][:20] + prose.text(200)]})
    builder.add_node("summarize", lambda s: {"summary": prose.text(400), "count": 4})
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda s: [Send("work", {"topic": t}) for t in s["subjects"]], ["work"]
    )
    builder.add_edge("work", "summarize")
    graph, config = builder.compile(checkpointer=saver), _at(prose)
    for _ in range(3):
        graph.invoke({"topic": prose.text(50)}, config, durability="sync")


class Ticket(BaseModel):
    title: str = ""
    status: str = "open"
    priority: int = 1
    tags: list[str] = []


@dataclass
class Document:
    title: str = ""
    content: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    score: float = 0.0


def _steps(state: Any, steps: list[tuple[str, Callable[[Any], Any]]], saver: Any) -> Any:
    builder: Any = StateGraph(state)
    before = START
    for name, step in steps:
        builder.add_node(name, step)
        builder.add_edge(before, name)
        before = name
    return builder.compile(checkpointer=saver)


def tickets(saver: Any, prose: Prose) -> None:
    """Run a graph whose state is a pydantic model."""
    steps: list[Any] = [
        ("classify", lambda s: {"status": "in_progress", "priority": 2, "tags": ["bug", "docs"]}),
        ("resolve", lambda s: {"status": "done", "title": prose.text(30)}),
    ]
    graph, config = _steps(Ticket, steps, saver), _at(prose)
    for _ in range(3):
        graph.invoke({"title": prose.text(30)}, config, durability="sync")


def fields(saver: Any, prose: Prose) -> None:
    """Run a graph whose state is a dataclass."""
    steps: list[Any] = [
        ("retrieve", lambda s: {"content": prose.text(600), "score": 0.75}),
        ("grade", lambda s: {"metadata": {"source": "https://example.com", "page": 3}}),
        ("generate", lambda s: {"title": prose.text(40)}),
    ]
    graph, config = _steps(Document, steps, saver), _at(prose)
    for _ in range(3):
        graph.invoke({"title": prose.text(30)}, config, durability="sync")


def essay(saver: Any, prose: Prose) -> None:
    """Run an entrypoint and tasks of the functional API."""

    @task
    def write(topic: str) -> str:
        return topic + prose.text(200)

    @entrypoint(checkpointer=saver)
    def run(topics: list[str], *, previous: Any = None) -> Any:
        done = [write(topic).result() for topic in topics]
        answer = interrupt({"question": "Is this good?", "drafts": done})
        return entrypoint.final(value=[*done, answer], save=answer)

    config: Any = {**_at(prose), "max_concurrency": None}  # the entrypoint waits for its tasks
    for _ in range(2):
        run.invoke([prose.text(20) for _ in range(2)], config)
        run.invoke(Command(resume="yes"), config)


def _extend(state: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*state, *(entry for write in writes for entry in write)]


def log(saver: Any, prose: Prose) -> None:
    """Run a graph with a `DeltaChannel`."""
    channel: Any = DeltaChannel(_extend, snapshot_frequency=5)
    dedup_cache = {"log": Annotated[list[str], channel], "turns": int}
    state: Any = TypedDict("state", dedup_cache)  # type: ignore[misc]
    steps: list[Any] = [
        ("observe", lambda s: {"log": [prose.text(100)], "turns": s.get("turns", 0) + 1}),
        ("reflect", lambda s: {"log": [prose.text(60)]}),
    ]
    graph, config = _steps(state, steps, saver), _at(prose)
    for _ in range(4):
        graph.invoke({"log": [prose.text(80)]}, config, durability="sync")


GRAPHS: dict[str, Callable[[Any, Prose], None]] = {
    graph.__name__: graph for graph in (chat, review, team, fan, tickets, fields, essay, log)
}
"""Graphs by name. Each stores one thread."""
