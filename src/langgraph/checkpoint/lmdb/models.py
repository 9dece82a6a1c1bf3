"""Public data types that methods of a saver return."""

from __future__ import annotations

from collections import Counter
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any, Final, Literal

FOUND: Final = "found"
"""The problem is in the store."""
REPAIRED: Final = "repaired"
"""A repair corrected the problem."""
LOST: Final = "lost"
"""A repair removed data that was stored."""
Outcome = Literal["found", "repaired", "lost"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A difference between a store and what was stored in it."""

    kind: str
    """Kind of the problem, one of a list that does not change between releases."""
    message: str
    """Description for people."""
    _: KW_ONLY
    thread_id: str | None = None
    checkpoint_ns: str | None = None
    checkpoint_id: str | None = None
    channel: str | None = None
    record: str | None = None
    """Key of the record, as hexadecimal digits."""
    outcome: Outcome = FOUND
    """Result of a repair: "found" without one, "repaired", or "lost" for removed data."""

    def __str__(self) -> str:
        names = ("thread_id", "checkpoint_ns", "checkpoint_id", "channel", "record")
        values = ((name, getattr(self, name)) for name in names)
        location = ", ".join(f"{name} {value!r}" for name, value in values if value is not None)
        text = f"{self.kind}: {self.message}" + (f" ({location})" if location else "")
        return text if self.outcome == FOUND else f"{text}: {self.outcome}"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """A list of the problems of a store, and of what was checked."""

    problems: tuple[Problem, ...]
    checked: dict[str, int] = field(default_factory=dict)
    """Number of checked threads, checkpoints, writes, chunks and index entries."""
    pages_unchecked: str | None = None
    """Reason why LMDB's pages were not checked, or None if they were."""
    records_unchecked: str | None = None
    """Reason why records were not checked, or None if they were."""
    quarantine: str | None = None
    """Path of the file with the data that a repair removed, or None."""

    @property
    def ok(self) -> bool:
        """True if records were checked and the store, as it is now, has no problem."""
        return self.records_unchecked is None and all(p.outcome != FOUND for p in self.problems)

    @property
    def lost(self) -> tuple[Problem, ...]:
        """The problems whose data a repair could not keep."""
        return tuple(problem for problem in self.problems if problem.outcome == LOST)

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems by kind."""
        return dict(Counter(problem.kind for problem in self.problems))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as data for JSON."""
        return {
            "ok": self.ok,
            "counts": self.counts,
            **asdict(self),
            "problems": [asdict(problem) for problem in self.problems],
        }
