"""The outcome of a kind of fault, for the tests and for the report."""

from __future__ import annotations

from dataclasses import dataclass, field


class UnavailableError(Exception):
    """A kind of fault that cannot be injected on this machine; the text says why."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one kind of fault. If data is lost, the run raises instead.

    Attributes:
        kind: Title of the fault in the report.
        tried: Number of faults.
        asserted: Statements that held after each fault.
        seen: Number of times that each result was seen.
        notes: Paragraphs of explanation for the report.
    """

    kind: str
    tried: int
    asserted: tuple[str, ...]
    seen: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
