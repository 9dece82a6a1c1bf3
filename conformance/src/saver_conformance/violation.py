"""Exceptions that end an example."""

from __future__ import annotations

from enum import Enum


class FailureKind(str, Enum):
    """A kind of failure."""

    WRONG = "wrong"
    """The saver returned or stored something else than expected."""
    RAISED = "raised"
    """A call raised an exception."""
    HUNG = "hung"
    """A call did not return in time."""

    def __str__(self) -> str:
        return self.value


class Violation(Exception):  # noqa: N818 - a result of the test, not an error of the suite
    """A violation: a saver broke a clause.

    Args:
        message: Expected and actual behavior, on one line.
        program: Program that reproduces the violation.
        size: Length of the program; the smallest violation is kept.
        kind: Kind of the failure.
    """

    def __init__(
        self,
        message: str,
        program: str,
        size: tuple[int, int] = (0, 0),
        *,
        kind: FailureKind = FailureKind.WRONG,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.program = program
        self.size = size
        self.kind = kind


class SlowError(Exception):
    """A timeout of a whole example, although no single call hung."""


class UnplayableError(Exception):
    """A condition outside the saver that prevents a clause from running."""
