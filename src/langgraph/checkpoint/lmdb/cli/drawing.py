"""Drawings of trees: one line for each checkpoint, with a column for each branch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.views import formats

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.views.trees import NamespaceTree, TreeNode

_STYLES = ("blue", "magenta", "cyan", "yellow", "green")


def draw(tree: NamespaceTree, indent: str = "") -> Iterator[Text]:
    """Yield the lines of a tree, the newest checkpoint first."""
    if tree.namespace:
        yield output.line(indent, (f"subgraph {tree.namespace}", "bold"))
    parents: dict[int, str] = {}  # for each column in use, the checkpoint that its branch ends at
    for node in tree.nodes:
        ending = [
            column
            for column, parent in parents.items()
            if parent == node.checkpoint_id and column != node.column
        ]
        for column in sorted(ending, reverse=True):
            yield Text(indent) + _join(node.column, column, {*parents})
            del parents[column]
        parents.pop(node.column, None)
        columns = _columns({**dict.fromkeys(parents, "│"), node.column: "●"})
        yield Text(indent) + columns + _label(node, tree)
        if node.parent_id is not None:
            parents[node.column] = node.parent_id
        if node.subgraphs:
            inner = _columns(dict.fromkeys((*parents, node.column), "│" if parents else " "))
            for subgraph in node.subgraphs:
                yield from draw(subgraph, f"{indent}{inner.plain}  ")


def _columns(marks: dict[int, str]) -> Text:
    text = Text()
    for column in range(max(marks) + 1):
        text.append(f"{marks.get(column, ' ')} ", _STYLES[column % len(_STYLES)])
    return text


def _join(parent: int, child: int, above: set[int]) -> Text:
    """Return the line on which the branch of a child ends at the column of its parent."""
    first, last = sorted((parent, child))
    text = Text()
    for column in range(max([*above, last]) + 1):
        style = _STYLES[column % len(_STYLES)]
        if column == parent:
            mark = "├" if parent < child else "┤"
        elif column == child:
            mark = "╯" if parent < child else "╰"
        elif column in above:
            mark = "┼" if first < column < last else "│"
        else:
            mark = "─" if first < column < last else " "
        text.append(mark, style)
        text.append("─" if first <= column < last else " ", _STYLES[child % len(_STYLES)])
    return text


def _label(node: TreeNode, tree: NamespaceTree) -> Text:
    text = output.line(
        f"{'-' if node.step is None else node.step:>3} ",
        (formats.short_id(node.checkpoint_id), "bold"),
        f" {node.source or '-'}",
    )
    if node.error is not None:
        text.append_text(output.line(("  error: ", "red"), formats.folded(node.error, 80)))
    if node.interrupts:
        text.append("  interrupt", "yellow")
    if node.checkpoint_id == tree.current:
        text.append("  (current)", "green")
    return text
