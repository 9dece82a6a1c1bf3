"""Trees: the checkpoints of a thread as branches, with the subgraphs that they called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import CheckpointTuple

from langgraph.checkpoint.lmdb.views.steps import error_of, interrupts_of
from langgraph.checkpoint.lmdb.views.stores import parent_id, place_of

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import KvSaver


@dataclass(slots=True)
class TreeNode:
    """A checkpoint of a tree."""

    checkpoint_id: str
    parent_id: str | None
    """Id of the parent if the tree has it."""
    step: int | None
    source: str | None
    created_at: str | None
    error: str | None
    interrupts: int
    """Questions of tasks that ran after the checkpoint."""
    column: int = 0
    """Column in the drawing. Lane 0 has the line of the current tip."""
    subgraphs: list[NamespaceTree] = field(default_factory=list)
    """Trees of the subgraphs that ran after the checkpoint."""

    def to_dict(self) -> dict[str, Any]:
        """Return the node as data for JSON."""
        return {
            "checkpoint_id": self.checkpoint_id,
            "parent_id": self.parent_id,
            "step": self.step,
            "source": self.source,
            "created_at": self.created_at,
            "error": self.error,
            "interrupts": self.interrupts,
            "column": self.column,
            "subgraphs": [tree.to_dict() for tree in self.subgraphs],
        }


@dataclass(slots=True)
class NamespaceTree:
    """The checkpoints of one namespace, newest first."""

    namespace: str
    nodes: list[TreeNode]

    @property
    def current(self) -> str:
        """Id of the current tip: the latest checkpoint."""
        return self.nodes[0].checkpoint_id

    def to_dict(self) -> dict[str, Any]:
        """Return the tree as data for JSON."""
        return {
            "namespace": self.namespace,
            "current": self.current,
            "nodes": [node.to_dict() for node in self.nodes],
        }


def tree_of(saver: KvSaver, thread_id: str) -> list[NamespaceTree]:
    """Return the trees of a thread: the root, then namespaces that no checkpoint called."""
    nodes: dict[str, list[TreeNode]] = defaultdict(list)
    callers: dict[str, str] = {}
    config: Any = {"configurable": {"thread_id": thread_id}}
    for found in saver.list(config, skip_damaged=True, values=False):
        namespace = place_of(found)["checkpoint_ns"]
        nodes[namespace].append(_node(found))
        parents = (found.metadata or {}).get("parents")
        if namespace and isinstance(parents, dict) and parents:
            outer = max(parents, key=lambda name: len(str(name)))
            callers[namespace] = str(parents[outer])
    trees = {}
    for namespace, found_nodes in nodes.items():
        found_nodes.sort(key=lambda node: node.checkpoint_id, reverse=True)
        assign_columns(found_nodes)
        trees[namespace] = NamespaceTree(namespace, found_nodes)
    return _nested(trees, callers)


def assign_columns(nodes: list[TreeNode]) -> None:
    """Give each branch a column of its own, and reuse columns that have ended.

    Args:
        nodes: The checkpoints of a namespace, newest first. Parents that are not among them are
            dropped.
    """
    rows = {node.checkpoint_id: row for row, node in enumerate(nodes)}
    for node in nodes:
        if node.parent_id not in rows:
            node.parent_id = None
    assigned: set[str] = set()
    ends: list[int] = []  # for each column, the last row that a branch occupies
    for tip_row, tip in enumerate(nodes):
        if tip.checkpoint_id in assigned:
            continue
        line = [tip]
        while (parent := line[-1].parent_id) is not None and parent not in assigned:
            line.append(nodes[rows[parent]])
        fork_row = rows[line[-1].checkpoint_id] if parent is None else rows[parent]
        column = next((column for column, end in enumerate(ends) if end < tip_row), len(ends))
        ends[column : column + 1] = [fork_row]
        for node in line:
            node.column = column
            assigned.add(node.checkpoint_id)


def _node(found: CheckpointTuple) -> TreeNode:
    metadata = found.metadata or {}
    return TreeNode(
        checkpoint_id=found.checkpoint["id"],
        parent_id=parent_id(found),
        step=metadata.get("step"),
        source=metadata.get("source"),
        created_at=found.checkpoint.get("ts"),
        error=error_of(found),
        interrupts=len(interrupts_of(found)),
    )


def _nested(trees: dict[str, NamespaceTree], callers: dict[str, str]) -> list[NamespaceTree]:
    by_id = {node.checkpoint_id: node for tree in trees.values() for node in tree.nodes}
    top = []
    for namespace in _outer_first(trees):
        caller = by_id.get(callers.get(namespace, ""))
        if caller is None or caller in trees[namespace].nodes:
            top.append(trees[namespace])
        else:
            caller.subgraphs.append(trees[namespace])
    return top


def _outer_first(namespaces: Iterable[str]) -> list[str]:
    return sorted(namespaces, key=lambda namespace: (namespace.count("|"), namespace))
