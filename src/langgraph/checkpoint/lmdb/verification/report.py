"""What `verify` finds, for programs to read."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

PAGES: Final = "pages"
"""LMDB's own pages are damaged: records may be gone without a trace, or be old ones."""
DAMAGED: Final = "damaged"
"""A record is not what was stored under its key."""
UNKNOWN: Final = "unknown"
"""A record of a kind that there is not."""
NEWER: Final = "newer"
"""A record that a newer release wrote."""
MISSING: Final = "missing"
"""A record is named, and is not there."""
ORPHAN: Final = "orphan"
"""A record is there, and nothing leads to it."""
MISSING_INDEX: Final = "missing_index"
"""An index lacks an entry."""
STALE_INDEX: Final = "stale_index"
"""An index has an entry that leads to nothing, or to something else."""
WRONG_COUNT: Final = "wrong_count"
"""A count, a size or a time is not that of what is stored."""
SHARED_REFS_MISMATCH: Final = "wrong_share"
"""What is noted of chunks that threads share is not what they use."""
UNREADABLE_VALUE: Final = "unreadable_value"
"""The serialiser cannot rebuild a value."""

LOST_CHECKPOINT: Final = "lost_checkpoint"
"""A repair took a checkpoint out of the store, with its pending writes."""
LOST_WRITES: Final = "lost_writes"
"""A repair took out pending writes of a checkpoint that was not stored."""
LOST_HISTORY: Final = "lost_history"
"""What channels without a value of their own are rebuilt from is lost before a checkpoint: asking
for it raises DamagedError."""
LOST_NAME: Final = "lost_name"
"""A thread or a namespace got a new name."""
LOST_THREAD: Final = "lost_thread"
"""A thread lost its own record: its times and its time to live."""

FOUND: Final = "found"
REPAIRED: Final = "repaired"
LOST: Final = "lost"
Outcome = Literal["found", "repaired", "lost"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was stored."""

    kind: str
    """A word that stays the same from release to release."""
    message: str
    thread_id: str | None = None
    checkpoint_ns: str | None = None
    checkpoint_id: str | None = None
    channel: str | None = None
    record: str | None = None
    """The key of the record, as hexadecimal digits."""
    outcome: Outcome = FOUND
    """What a repair made of it. "lost" tells what was stored and is not in the store any more."""

    def __str__(self) -> str:
        places = ("thread_id", "checkpoint_ns", "checkpoint_id", "channel", "record")
        named = ((name, getattr(self, name)) for name in places)
        where = ", ".join(f"{name} {value!r}" for name, value in named if value is not None)
        text = f"{self.kind}: {self.message}" + (f" ({where})" if where else "")
        return text if self.outcome == FOUND else f"{text}: {self.outcome}"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was checked and what was found."""

    problems: tuple[Problem, ...]
    checked: dict[str, int] = field(default_factory=dict)
    """How much of each kind was looked at: threads, checkpoints, writes, chunks, entries."""
    pages_unchecked: str | None = None
    """Why LMDB's pages were not checked; None: they were."""
    records_unchecked: str | None = None
    """Why records were not checked; None: they were."""
    quarantine: str | None = None
    """The file that holds what a repair took out of the store."""

    @property
    def ok(self) -> bool:
        """Whether the store, as it is now, has no problem that was looked for."""
        return self.records_unchecked is None and all(p.outcome != FOUND for p in self.problems)

    @property
    def lost(self) -> tuple[Problem, ...]:
        """What a repair could not keep."""
        return tuple(problem for problem in self.problems if problem.outcome == LOST)

    @property
    def counts(self) -> dict[str, int]:
        """How many problems of each kind there are."""
        return dict(Counter(problem.kind for problem in self.problems))

    def to_dict(self) -> dict[str, Any]:
        """The same as what JSON can hold."""
        return {
            "ok": self.ok,
            "counts": self.counts,
            **asdict(self),
            "problems": [asdict(problem) for problem in self.problems],
        }
