"""Public data types: what methods of a saver return, and the `ttl` argument."""

from __future__ import annotations

from collections import Counter
from dataclasses import KW_ONLY, asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypedDict, get_args

from langgraph.checkpoint.lmdb.run_state import State

FOUND: Final = "found"
"""The problem is in the store."""
REPAIRED: Final = "repaired"
"""A repair corrected the problem."""
LOST: Final = "lost"
"""A repair removed data that was stored."""
Outcome = Literal["found", "repaired", "lost"]
ThreadSort = Literal["updated", "created", "checkpoints", "bytes", "thread_id"]
THREAD_SORTS: Final[tuple[ThreadSort, ...]] = get_args(ThreadSort)
"""Fields of ThreadInfo that a list of threads is sorted by."""


class TTLConfig(TypedDict, total=False):
    """The retention of a store. Times are in minutes; fractions are allowed."""

    default_ttl: float | None
    """Time from a thread's last activity until it expires. None: it never expires."""
    strategy: Literal["delete", "keep_latest"]
    """What happens to an expired thread. "delete" (default) deletes the whole thread. "keep_latest"
    keeps its latest checkpoints and what they need."""
    refresh_on_read: bool
    """True: reading the latest checkpoint of a thread counts as activity."""
    sweep_interval_minutes: float | None
    """Time between two background sweeps. None: only `sweep()` deletes."""
    keep_last: int | None
    """Checkpoints that each namespace of a thread keeps. None: any number."""
    max_history_age: float | None
    """Age at which a checkpoint that is not the latest of its namespace is deleted. None: any
    age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadInfo:
    """A description of a thread."""

    thread_id: str
    created: datetime
    updated: datetime
    """Time of the last activity."""
    expires: datetime | None
    """Time at which the TTL ends. None: the thread never expires."""
    namespaces: tuple[str, ...]
    checkpoints: int
    writes: int
    """Pending writes."""
    bytes: int
    """Compressed bytes of records and values. Records that threads share count for each of them;
    values that copied records use count for the thread that stored them."""
    step: int | None
    """Step of the latest checkpoint of the root namespace, from its metadata."""
    source: str | None
    """Source of that checkpoint, from its metadata."""
    state: State | None
    """State of the run of that checkpoint, as `get_checkpoint_status` returns it, but never
    "running": only locks tell that. None: the root namespace has no checkpoint."""
    next: tuple[str, ...]
    """Nodes of the tasks that this run has to run, without those whose output is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """The totals of a store."""

    threads: int
    """Threads with checkpoints. Expired threads count until they are swept."""
    checkpoints: int
    writes: int
    """Pending writes."""
    bytes: int
    """Compressed bytes of records and values. What threads share counts once."""
    file_bytes: int
    """Bytes that the store occupies on disk, with its indexes and free pages."""


@dataclass(frozen=True, slots=True)
class TaskWrite:
    """A pending write of a task, with what orders it among the writes of its superstep."""

    task_id: str
    task_path: str
    """Path of the task. Writes apply by path, task id and index."""
    index: int
    """Position among the task's writes. Negative for channels that hold one write per task."""
    channel: str
    value: Any


class Branch(NamedTuple):
    """A line of checkpoints that ends in a checkpoint without children."""

    tip: str
    fork_point: str | None
    """Id of the nearest ancestor that has other children as well. None: there is no such
    ancestor."""
    length: int
    """Checkpoints after the fork point, or all of the line if there is no fork point."""
    depth: int
    """Checkpoints from the first ancestor on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """The counts of what a sweep deleted, or would have deleted."""

    threads: int = 0
    """Threads that were deleted or lost a part of their history."""
    checkpoints: int = 0
    writes: int = 0
    """Pending writes."""
    bytes: int = 0
    """Bytes of records and values, as in `stats()`. Below 0 if a thread that lost a part of its
    history got a copy of what it had shared with other threads, which keep it."""
    damaged: int = 0
    """Threads that were not swept because records of them are damaged."""
    dry_run: bool = False
    """True if nothing was deleted."""


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
    task_id: str | None = None
    """Task of a snapshot store."""
    version: int | None = None
    """Version of the task's snapshot."""
    outcome: Outcome = FOUND
    """Result of a repair: "found" without one, "repaired", or "lost" for removed data."""

    def __str__(self) -> str:
        names = (
            *("thread_id", "checkpoint_ns", "checkpoint_id", "channel"),
            *("task_id", "version", "record"),
        )
        values = ((name, getattr(self, name)) for name in names)
        location = ", ".join(f"{name} {value!r}" for name, value in values if value is not None)
        text = f"{self.kind}: {self.message}" + (f" ({location})" if location else "")
        return text if self.outcome == FOUND else f"{text}: {self.outcome}"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """A list of the problems of a store, and of what was checked."""

    problems: tuple[Problem, ...]
    checked: dict[str, int] = field(default_factory=dict)
    """Number of checked threads, checkpoints, writes, chunks and index entries; and of tasks and
    snapshots, if the store has any."""
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
