"""Output: JSON lines, tables and text, in the width and with the colors of the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from langgraph.checkpoint.lmdb.views.escape import escape, escape_lines

if TYPE_CHECKING:
    from rich.console import RenderableType

    from langgraph.checkpoint.lmdb.views.steps import StepView

Cell: TypeAlias = "str | Text"

_PIPE_WIDTH = 1_000_000
"""Columns of output that is no terminal: lines are neither wrapped nor cut."""
STYLES = {
    "complete": "green",
    "running": "cyan",
    "waiting": "yellow",
    "failed": "red",
    "stalled": "magenta",
    "unknown": "dim",
}
"""Color of each state of a run."""


class _Console(Console):
    """A console that leaves a broken pipe to the entry point."""

    def on_broken_pipe(self) -> None:
        """Raise the error that is being handled."""
        raise  # noqa: PLE0704 - rich calls this in its handler


def console() -> Console:
    """Return the console of standard output."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return _Console(width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def print_json(data: Any) -> None:
    """Print an object on one line, in ASCII, which has no control characters."""
    print(json.dumps(data))


def show(*parts: RenderableType) -> None:
    """Print text and tables."""
    out = console()
    for part in parts:
        out.print(part, soft_wrap=not isinstance(part, Table))


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    """Return a table. A column whose name begins with `>` has numbers; the last one is wrapped.

    Args:
        columns: Names of the columns.
        rows: Cells. A text without a style is escaped.
    """
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in columns:
        made.add_column(
            name.lstrip(">"),
            justify="right" if name.startswith(">") else "left",
            overflow="ellipsis",
            no_wrap=name != columns[-1],
        )
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(escape(cell)) for cell in row))
    return made


def line(*parts: str | tuple[str, str]) -> Text:
    """Return a line of escaped parts; a part with a style is a tuple."""
    return _assembled(parts, escape)


def block(*parts: str | tuple[str, str]) -> Text:
    """Return escaped parts that may have several lines, as for `line`."""
    return _assembled(parts, escape_lines)


def state(name: str | None) -> Text:
    """Return the state of a run in its color."""
    return Text("-") if name is None else Text(name, STYLES.get(name, ""))


def after_step(step: StepView) -> Text:
    """Return what followed a step: its error, its interrupts, and the nodes that are next."""
    parts = []
    if step.state is not None:
        parts.append(state(step.state))
    if step.error is not None:
        parts.append(line((step.error, "red")))
    if step.interrupts:
        count = len(step.interrupts)
        parts.append(line((f"{count} interrupt{'s' if count > 1 else ''}", "yellow")))
    if step.is_latest and step.next:
        parts.append(line(f"next {', '.join(step.next)}"))
    return Text("  ").join(parts)


def _assembled(parts: Sequence[str | tuple[str, str]], escaped: Callable[[str], str]) -> Text:
    made = Text()
    for part in parts:
        text, style = part if isinstance(part, tuple) else (part, "")
        made.append(escaped(text), style)
    return made
