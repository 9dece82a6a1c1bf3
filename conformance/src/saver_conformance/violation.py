"""Exceptions that end an example."""

from __future__ import annotations


class Violation(Exception):  # noqa: N818 - a result of the test, not an error of the suite
    """A violation: a saver broke a clause.

    Args:
        message: Expected and actual behavior, on one line.
        program: Program that reproduces the violation.
        size: Length of the program; the smallest violation is kept.
        hung: True if a call of the saver timed out.
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
    """A timeout of a whole example, although no single call hung."""


class UnplayableError(Exception):
    """A condition outside the saver that prevents a clause from running."""
