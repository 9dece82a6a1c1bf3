"""How an example says that a saver broke its clause."""

from __future__ import annotations


class Violation(Exception):  # noqa: N818 - it is a verdict, no error of the program
    """A saver broke a clause.

    Args:
        message: What was expected and what came instead, on one line.
        program: A program that shows it.
        size: How long the program is, for choosing the smallest of several.
        hung: Whether the saver did not answer.
    """

    def __init__(
        self, message: str, program: str, size: tuple[int, int] = (0, 0), *, hung: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.program = program
        self.size = size
        self.hung = hung


class SlowError(Exception):
    """An example has taken longer than one may, although no call hung."""


class UnplayableError(Exception):
    """A clause cannot be put to a saver, through no fault of the saver's."""
