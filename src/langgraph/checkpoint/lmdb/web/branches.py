"""Branches: the geometry of the tree of a thread, for the rows that are in sight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from langgraph.checkpoint.lmdb.views.trees import TreeNode

ROW = 28
"""Pixels from one step to the next."""
_COLUMN = 16
_LEFT = 14
_LABEL = 236
_COLORS = 5


@dataclass(frozen=True)
class Dot:
    """A step of the drawing."""

    node: TreeNode
    x: int
    y: int
    color: int
    is_chosen: bool
    is_latest: bool
    child: str | None
    """Id of the newest child."""


@dataclass(frozen=True)
class Line:
    """A line from a step to its parent."""

    path: str
    color: int


@dataclass(frozen=True)
class Drawing:
    """Rows of a tree, newest first."""

    dots: list[Dot]
    lines: list[Line]
    width: int
    height: int
    label: int
    """Left edge of the labels."""
    top: int
    """Number of rows above the drawing."""
    below: int
    """Number of rows below the drawing."""


def draw(nodes: Sequence[TreeNode], top: int, count: int, chosen: str) -> Drawing:
    """Return the drawing of some rows of a tree, with all lines that cross them.

    Args:
        nodes: All rows, newest first, with their columns.
        top: First row to draw.
        count: Number of rows to draw.
        chosen: Id of the chosen step.
    """
    window = nodes[top : top + count]
    lines = [*_lines(nodes, top, top + len(window))]
    label = _x(max((node.column for node in window), default=0)) + _COLUMN
    children = {node.parent_id: node.checkpoint_id for node in reversed(nodes)}
    return Drawing(
        dots=[
            Dot(
                node,
                _x(node.column),
                _y(row),
                node.column % _COLORS,
                node.checkpoint_id == chosen,
                top + row == 0,
                children.get(node.checkpoint_id),
            )
            for row, node in enumerate(window)
        ],
        lines=lines,
        width=label + _LABEL,
        height=len(window) * ROW,
        label=label,
        top=top,
        below=max(0, len(nodes) - top - len(window)),
    )


def _lines(nodes: Sequence[TreeNode], top: int, end: int) -> Iterator[Line]:
    rows = {node.checkpoint_id: row for row, node in enumerate(nodes)}
    for row, node in enumerate(nodes[:end]):
        if node.parent_id is None or rows[node.parent_id] < top:
            continue
        below = rows[node.parent_id]
        x, first = _x(node.column), max(_y(row - top), 0)
        parent = nodes[below]
        if parent.column == node.column or below >= end:  # it bends in the row of the parent
            path = f"M{x} {first}V{min(_y(below - top), (end - top) * ROW)}"
        else:
            last = _y(below - top)
            path = f"M{x} {first}V{last - ROW // 2}Q{x} {last} {_x(parent.column)} {last}"
        yield Line(path, node.column % _COLORS)


def _x(column: int) -> int:
    return _LEFT + column * _COLUMN


def _y(row: int) -> int:
    return row * ROW + ROW // 2
