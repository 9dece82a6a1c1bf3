"""Questions to the graph of a run: the tasks of any checkpoint, and static breakpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.serde.types import INTERRUPT

from langgraph.checkpoint.lmdb.run_state import Task
from langgraph.checkpoint.lmdb.workflows import arguments

if TYPE_CHECKING:
    from langgraph.pregel import Pregel
    from langgraph.types import StateSnapshot

_HIDDEN = "langsmith:hidden"
"""Tag of nodes that a breakpoint at all nodes leaves out."""


class GraphAnswer(NamedTuple):
    """The state of a checkpoint, as its graph returns it."""

    tasks: list[Task]
    at_breakpoint: bool
    """The run stops here, before the tasks or after the nodes that ran last."""


def compiled(graph: Any) -> Pregel[Any, Any, Any, Any]:
    """Return a compiled graph; a builder is compiled."""
    found: Any = graph
    if not hasattr(graph, "invoke") and hasattr(graph, "compile"):
        found = graph.compile()
    if not hasattr(found, "invoke") or not hasattr(found, "get_state"):
        arguments.refuse("graph", "a compiled graph", graph)
    result: Pregel[Any, Any, Any, Any] = found
    return result


def ask(
    graph: Pregel[Any, Any, Any, Any], saver: BaseCheckpointSaver[Any], found: CheckpointTuple
) -> GraphAnswer:
    """Return the state of a checkpoint, as its graph computes it."""
    reader = graph.copy(update={"checkpointer": saver})
    snapshot = reader.get_state(found.config)
    parent = None
    if graph.interrupt_after_nodes and found.parent_config is not None:
        parent = reader.get_state(found.parent_config)
    return _answer(graph, found, snapshot, parent)


async def aask(
    graph: Pregel[Any, Any, Any, Any], saver: BaseCheckpointSaver[Any], found: CheckpointTuple
) -> GraphAnswer:
    """Async version of `ask`."""
    reader = graph.copy(update={"checkpointer": saver})
    snapshot = await reader.aget_state(found.config)
    parent = None
    if graph.interrupt_after_nodes and found.parent_config is not None:
        parent = await reader.aget_state(found.parent_config)
    return _answer(graph, found, snapshot, parent)


def _answer(
    graph: Pregel[Any, Any, Any, Any],
    found: CheckpointTuple,
    snapshot: StateSnapshot,
    parent: StateSnapshot | None,
) -> GraphAnswer:
    tasks = [Task(task.name, task.id) for task in snapshot.tasks]
    stops = _has_news(found) and (
        _are_selected(graph, graph.interrupt_before_nodes, (task.name for task in tasks))
        or _are_selected(graph, graph.interrupt_after_nodes, _ran_last(graph, found, parent))
    )
    return GraphAnswer(tasks, stops)


def _has_news(found: CheckpointTuple) -> bool:
    """Return True if a channel has changed since the last stop at a breakpoint."""
    seen = found.checkpoint["versions_seen"].get(INTERRUPT, {})
    versions: Any = found.checkpoint["channel_versions"]
    return any(
        version > seen.get(channel, type(version)()) for channel, version in versions.items()
    )


def _are_selected(graph: Pregel[Any, Any, Any, Any], selection: Any, names: Iterable[str]) -> bool:
    if selection == "*":
        return any(_HIDDEN not in (graph.nodes[name].tags or ()) for name in names)
    return any(name in selection for name in names)


def _ran_last(
    graph: Pregel[Any, Any, Any, Any], found: CheckpointTuple, parent: StateSnapshot | None
) -> list[str]:
    """Return the nodes that may have run in the superstep of a checkpoint.

    The parent tells them. It is missing if it was deleted, or if the run stores only its last
    checkpoint (durability "exit"): then each node may have run.
    """
    if found.metadata.get("source") != "loop":
        return []
    metadata = None if parent is None else parent.metadata
    if parent is None or metadata is None:
        return list(graph.nodes)
    follows = metadata.get("step") == found.metadata.get("step", 0) - 1
    return [task.name for task in parent.tasks] if follows else list(graph.nodes)
