"""What a kind of fault came to: one shape for the tests and for the report."""

from __future__ import annotations

from dataclasses import dataclass, field


class UnavailableError(Exception):
    """A kind of fault cannot be made here; the text says what is missing."""


@dataclass(frozen=True)
class Outcome:
    """How one kind of fault went. A run in which something was lost raises instead.

    Attributes:
        kind: The fault, as the report names it.
        tried: How many faults.
        asserted: What held after each of them.
        seen: What happened, counted.
        notes: What a reader has to know beside it, such as what cannot be survived.
    """

    kind: str
    tried: int
    asserted: tuple[str, ...]
    seen: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
