"""The output of the demo. A claim is checked before it is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding

if TYPE_CHECKING:
    from rich.console import RenderableType


class ClaimError(Exception):
    """A claim of the demo does not hold."""


class Narrator:
    """A printer of numbered steps, their results, and checked claims."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, width=min(100, Console().width))
        self._steps = 0
        self.claims = 0

    def step(self, title: str, why: str) -> None:
        """Print the title of the next step and its explanation."""
        self._steps += 1
        self._console.print()
        self._console.rule(f"[bold]{self._steps}. {title}", align="left")
        self._console.print(why, style="dim")

    def show(self, what: RenderableType) -> None:
        """Print a table, a tree or a panel."""
        self._console.print(Padding(what, (1, 2, 0, 2)))

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(f"  {text}")

    def claim(self, text: str, holds: bool) -> None:
        """Print a claim.

        Raises:
            ClaimError: The claim does not hold.
        """
        if not holds:
            raise ClaimError(text)
        self.claims += 1
        self._console.print(f"  [green]✓[/] {text}")
