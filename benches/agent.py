"""A tool-calling agent with a scripted model: question, tool call, tool result, answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from benches.text import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

MESSAGES_PER_TURN = 4
CHECKPOINTS_PER_TURN = 5


@dataclass(frozen=True)
class Turn:
    """The four messages of a turn."""

    question: HumanMessage
    call: AIMessage
    result: ToolMessage
    answer: AIMessage


Script = dict[tuple[str, int], Turn]
"""Turns by thread and number."""


def write_script(thread_id: str, turns: range) -> Script:
    """Return the turns of a thread with these numbers."""
    writer = Writer(thread_id)
    return {(thread_id, number): _write_turn(writer) for number in turns}


def _write_turn(writer: Writer) -> Turn:
    call_id = f"call_{writer.uuid().replace('-', '')[:24]}"
    call = {"name": "search", "args": {"query": writer.prose(40)}, "id": call_id}
    return Turn(
        HumanMessage(writer.prose(120), id=writer.uuid()),
        AIMessage("", tool_calls=[call], id=f"run--{writer.uuid()}"),
        ToolMessage(writer.prose(1500), name="search", tool_call_id=call_id, id=writer.uuid()),
        AIMessage(writer.prose(600), id=f"run--{writer.uuid()}"),
    )


def build_agent(
    script: Mapping[tuple[str, int], Turn],
    saver: BaseCheckpointSaver[Any],
    *,
    state: type[Any] = MessagesState,
    asynchronous: bool = False,
) -> CompiledStateGraph[Any]:
    """Return an agent that follows the script."""

    def current(state: Any, config: RunnableConfig) -> Turn:
        number = len(state["messages"]) // MESSAGES_PER_TURN
        return script[config["configurable"]["thread_id"], number]

    def model(state: Any, config: RunnableConfig) -> dict[str, Any]:
        turn = current(state, config)
        asked = isinstance(state["messages"][-1], HumanMessage)
        return {"messages": [turn.call if asked else turn.answer]}

    def tools(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [current(state, config).result]}

    async def amodel(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return model(state, config)

    async def atools(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return tools(state, config)

    def route(state: Any) -> str:
        return "tools" if state["messages"][-1].tool_calls else END

    builder: Any = StateGraph(state)
    builder.add_node("model", amodel if asynchronous else model)
    builder.add_node("tools", atools if asynchronous else tools)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", route, ["tools", END])
    builder.add_edge("tools", "model")
    graph: CompiledStateGraph[Any] = builder.compile(checkpointer=saver)
    return graph


def ask(graph: CompiledStateGraph[Any], script: Script, thread_id: str, number: int) -> None:
    """Run one turn. Each checkpoint is stored before the next superstep begins."""
    graph.invoke(question(script, thread_id, number), thread(thread_id), durability="sync")


async def aask(graph: CompiledStateGraph[Any], script: Script, thread_id: str, number: int) -> None:
    """Async version of `ask`."""
    await graph.ainvoke(question(script, thread_id, number), thread(thread_id), durability="sync")


def thread(thread_id: str) -> RunnableConfig:
    """Return the config of a thread."""
    return {"configurable": {"thread_id": thread_id}}


def question(script: Script, thread_id: str, number: int) -> dict[str, list[HumanMessage]]:
    """Return the input of the graph for a turn."""
    return {"messages": [script[thread_id, number].question]}
