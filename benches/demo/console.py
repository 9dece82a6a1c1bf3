"""What the demo prints, and the claims that it checks while it prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding

if TYPE_CHECKING:
    from rich.console import RenderableType


class ClaimError(Exception):
    """Something that the demo says does not hold."""


class Narrator:
    """Prints numbered steps, what they show, and each claim once it has been checked."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, width=min(100, Console().width))
        self._steps = 0
        self.claims = 0

    def step(self, title: str, why: str) -> None:
        self._steps += 1
        self._console.print()
        self._console.rule(f"[bold]{self._steps}. {title}", align="left")
        self._console.print(why, style="dim")

    def show(self, what: RenderableType) -> None:
        self._console.print(Padding(what, (1, 2, 0, 2)))

    def say(self, text: str) -> None:
        self._console.print(f"  {text}")

    def claim(self, text: str, holds: bool) -> None:
        """Print the claim; one that does not hold ends the demo."""
        if not holds:
            raise ClaimError(text)
        self.claims += 1
        self._console.print(f"  [green]✓[/] {text}")
