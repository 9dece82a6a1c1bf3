"""Trees: every checkpoint once, branches in columns of their own, subgraphs below their callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.views.trees import NamespaceTree, TreeNode, assign_columns, tree_of
from tests.views import graphs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def node(name: str, parent: str | None) -> TreeNode:
    return TreeNode(name, parent, None, None, None, None, 0)


@st.composite
def forests(draw: st.DrawFn) -> list[TreeNode]:
    """Draw checkpoints, newest first, each with an older parent, none, or a missing one."""
    count = draw(st.integers(1, 12))
    nodes = []
    for number in range(count):
        parents = [None, "missing", *(f"{older:03d}" for older in range(number))]
        nodes.append(node(f"{number:03d}", draw(st.sampled_from(parents))))
    return nodes[::-1]


@given(forests())
def test_lanes_do_not_cross(nodes: list[TreeNode]) -> None:
    """Between a checkpoint and its parent, no other branch uses the column of the checkpoint."""
    assign_columns(nodes)
    rows = {one.checkpoint_id: row for row, one in enumerate(nodes)}
    assert nodes[0].column == 0
    for row, one in enumerate(nodes):
        if one.parent_id is None:
            continue
        assert one.parent_id in rows
        between = nodes[row + 1 : rows[one.parent_id]]
        assert all(other.column != one.column for other in between)


def test_line_has_one_lane_and_ended_lanes_are_used_again() -> None:
    nodes = [node("5", "4"), node("4", "1"), node("3", "2"), node("2", "1"), node("1", None)]
    assign_columns(nodes)
    assert [one.column for one in nodes] == [0, 0, 1, 1, 0]
    nodes = [node("6", "5"), node("5", "3"), node("4", "3"), node("3", "1"), node("2", "1")]
    nodes.append(node("1", None))
    assign_columns(nodes)
    assert [one.column for one in nodes] == [0, 0, 1, 0, 1, 0]


@pytest.fixture
def saver(path: Path) -> Any:
    with LmdbSaver(path, sync="off") as saver:
        yield saver


def all_nodes(trees: list[NamespaceTree]) -> Iterator[tuple[str, TreeNode]]:
    for tree in trees:
        for one in tree.nodes:
            yield tree.namespace, one
            yield from all_nodes(one.subgraphs)


def test_tree_has_every_checkpoint_once(saver: LmdbSaver) -> None:
    graphs.fill(saver)
    for thread in ("chat", "waiting", "failed", "forked", "delta", "answered"):
        config: Any = {"configurable": {"thread_id": thread}}
        listed = [found.config["configurable"] for found in saver.list(config)]
        found = [(name, one.checkpoint_id) for name, one in all_nodes(tree_of(saver, thread))]
        assert sorted(found) == sorted((at["checkpoint_ns"], at["checkpoint_id"]) for at in listed)


def test_subgraph_is_below_the_checkpoint_that_called_it(saver: LmdbSaver) -> None:
    graphs.forked(saver)
    (root,) = tree_of(saver, "forked")
    assert root.namespace == ""
    assert root.current == root.nodes[0].checkpoint_id
    callers = {tree.namespace: one.checkpoint_id for one in root.nodes for tree in one.subgraphs}
    assert len(callers) == 2
    for found in saver.list({"configurable": {"thread_id": "forked"}}):
        namespace = found.config["configurable"]["checkpoint_ns"]
        if namespace:
            assert found.metadata["parents"][""] == callers[namespace]


def test_subgraph_of_a_pruned_caller_is_at_the_top(saver: LmdbSaver) -> None:
    graphs.forked(saver)
    (root,) = tree_of(saver, "forked")
    namespace = next(one.subgraphs[0].namespace for one in root.nodes if one.subgraphs)
    config: Any = {"configurable": {"thread_id": "alone", "checkpoint_ns": namespace}}
    (found,) = saver.list(
        {"configurable": {"thread_id": "forked", "checkpoint_ns": namespace}}, limit=1
    )
    saver.put(config, found.checkpoint, found.metadata, {})
    (tree,) = tree_of(saver, "alone")
    assert (tree.namespace, len(tree.nodes)) == (namespace, 1)


def test_errors_and_interrupts_are_marked(saver: LmdbSaver) -> None:
    graphs.failed(saver)
    graphs.waiting(saver)
    (tree,) = tree_of(saver, "failed")
    assert [one.error for one in tree.nodes if one.error] == ["ValueError('no token')"]
    (tree,) = tree_of(saver, "waiting")
    assert tree.nodes[0].interrupts == 2


def test_thread_without_checkpoints_has_no_tree(saver: LmdbSaver) -> None:
    assert tree_of(saver, "missing") == []
