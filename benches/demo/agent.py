"""The agent: a LangGraph graph with parallel tool calls, a subgraph and a human approval.

agent ─▶ tools (one task per call, in parallel) ─▶ agent ─▶ … ─▶ editor ─▶ publish
                                                                   │
                                         outline ─▶ write ─▶ approve (asks a human)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send, interrupt

from benches.demo.model import ScriptedModel
from benches.demo.report import findings, render
from benches.demo.tools import make_tools

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import StateSnapshot

    from benches.demo.effects import Workspace

CONFIG: RunnableConfig = {"configurable": {"thread_id": "stdlib report"}}
TASK = HumanMessage("Report on the longest functions of Python's standard library.", id="task-1")
OTHER_TASK = HumanMessage("Report on what the packages import instead.", id="task-2")


class State(MessagesState):
    """The state: the conversation, the findings, and the report."""

    outline: dict[str, Any]
    report: str
    approved: bool


def build(saver: BaseCheckpointSaver[Any], workspace: Workspace) -> CompiledStateGraph[Any]:
    """Return the graph. It stores checkpoints in `saver` and works in `workspace`."""
    model = ScriptedModel()

    def agent(state: State) -> dict[str, Any]:
        answer = model.invoke(state["messages"])
        answer.id = f"answer-{len(state['messages'])}"
        return {"messages": [answer]}

    def route(state: State) -> list[Send] | str:
        answer = state["messages"][-1]
        assert isinstance(answer, AIMessage)
        calls = [Send("tools", [{**call, "type": "tool_call"}]) for call in answer.tool_calls]
        return calls or "editor"

    def publish(state: State) -> None:
        workspace.begin("publish")
        if state["approved"]:
            workspace.publish(state["outline"]["subject"], state["report"])
        workspace.end("publish")

    builder = StateGraph(State)
    builder.add_node("agent", agent)
    builder.add_node("tools", ToolNode(make_tools(workspace)))
    builder.add_node("editor", _editor(workspace))
    builder.add_node("publish", publish)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", route, ["tools", "editor"])
    builder.add_edge("tools", "agent")
    builder.add_edge("editor", "publish")
    builder.add_edge("publish", END)
    return builder.compile(checkpointer=saver)


def _editor(workspace: Workspace) -> CompiledStateGraph[Any]:
    """Return the subgraph that writes the report and asks a human for approval."""

    def outline(state: State) -> dict[str, Any]:
        workspace.begin("outline")
        found = findings(state["messages"])
        workspace.end("outline")
        return {"outline": found}

    def write(state: State) -> dict[str, Any]:
        workspace.begin("write")
        text = render(state["outline"])
        workspace.end("write")
        return {"report": text}

    def approve(state: State) -> dict[str, Any]:
        answer = interrupt({"question": "Publish this report?", "report": state["report"]})
        return {"approved": answer == "yes"}

    builder = StateGraph(State)
    builder.add_node("outline", outline)
    builder.add_node("write", write)
    builder.add_node("approve", approve)
    builder.add_edge(START, "outline")
    builder.add_edge("outline", "write")
    builder.add_edge("write", "approve")
    builder.add_edge("approve", END)
    return builder.compile()


def start(graph: CompiledStateGraph[Any]) -> None:
    """Start the agent and run it until it ends or asks a question."""
    graph.invoke({"messages": [TASK]}, CONFIG)


def resume(graph: CompiledStateGraph[Any]) -> None:
    """Continue where the last process stopped."""
    graph.invoke(None, CONFIG)


def answer(graph: CompiledStateGraph[Any], words: str = "yes") -> None:
    """Answer the question of the agent."""
    graph.invoke(Command(resume=words), CONFIG)


def before_closer_look(graph: CompiledStateGraph[Any]) -> StateSnapshot:
    """Return the checkpoint after the surveys, before the next decision."""
    return next(
        snapshot
        for snapshot in graph.get_state_history(CONFIG)
        if snapshot.next == ("agent",) and snapshot.values["messages"][-1].name == "survey"
    )


def branch(graph: CompiledStateGraph[Any]) -> None:
    """Start another task at that checkpoint, and run it to its end."""
    earlier = before_closer_look(graph)
    fork = graph.update_state(earlier.config, {"messages": [OTHER_TASK]}, as_node="tools")
    graph.invoke(None, fork)
    answer(graph)
