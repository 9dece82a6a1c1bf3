"""A project: it is planned, executed task by task, reviewed by a person, and published.

plan ─▶ execute ─▶ review (asks a person) ─▶ publish
         ▲    │
         └────┘ one task at a time
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Annotated, Any

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

if TYPE_CHECKING:
    from benches.demo.effects import Workspace

PROJECTS = ("website", "handbook", "survey")
TASKS = ("collect", "write", "check")


class State(TypedDict, total=False):
    """The state of a project. `get_progress` reads the two lists of tasks."""

    project: str
    completed_tasks: Annotated[list[str], operator.add]
    pending_tasks: list[str]
    approved: bool


def build(workspace: Workspace) -> StateGraph[Any]:
    """Return the graph of a project that works in `workspace`."""

    def plan(state: State) -> State:
        workspace.begin(f"{state['project']} plan")
        workspace.end(f"{state['project']} plan")
        return {"pending_tasks": [*TASKS]}

    def execute(state: State) -> State:
        task, *others = state["pending_tasks"]
        workspace.begin(f"{state['project']} {task}")
        workspace.end(f"{state['project']} {task}")
        return {"completed_tasks": [task], "pending_tasks": others}

    def after_a_task(state: State) -> str:
        return "execute" if state["pending_tasks"] else "review"

    def review(state: State) -> State:
        return {"approved": interrupt(f"Publish the {state['project']}?") == "yes"}

    def publish(state: State) -> None:
        if state["approved"]:
            workspace.begin(f"{state['project']} publish")
            workspace.publish(state["project"], ", ".join(state["completed_tasks"]))
            workspace.end(f"{state['project']} publish")

    builder = StateGraph(State)
    for node in (plan, execute, review, publish):
        builder.add_node(node)
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "execute")
    builder.add_conditional_edges("execute", after_a_task, ["execute", "review"])
    builder.add_edge("review", "publish")
    return builder
