"""The copy of one thread, and its comparison."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.migrate.comparing import differing_parts, differing_tasks
from langgraph.checkpoint.lmdb.migrate.models import Difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.lmdb.migrate.models import Record
    from langgraph.checkpoint.lmdb.migrate.source import Source
    from langgraph.checkpoint.lmdb.migrate.target import Target


@dataclass(slots=True)
class Counts:
    """What a migration did so far. Several threads add to it."""

    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    copied_checkpoints: int = 0
    copied_writes: int = 0
    verified: int = 0
    differences: list[Difference] = field(default_factory=list)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **counts: int) -> None:
        """Add to counts by name."""
        with self.mutex:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)


class StoppedError(Exception):
    """A migration that was asked to stop."""


@dataclass(frozen=True, slots=True)
class Job:
    """Two savers between which threads are copied."""

    source: Source
    target: Target
    counts: Counts = field(default_factory=Counts)
    notify: Callable[[], None] = lambda: None
    """Called after each checkpoint."""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def with_paths(self) -> bool:
        """True if both savers tell the task paths of writes."""
        return self.source.knows_paths and self.target.source.knows_paths


def copy_thread(job: Job, thread_id: str, is_needed: Callable[[], bool] = lambda: True) -> None:
    """Copy what the target lacks of a thread, oldest checkpoint first.

    Args:
        job: The two savers.
        thread_id: The thread.
        is_needed: A function that is called before each checkpoint; False ends the copy.
    """
    known = {*job.target.source.keys(thread_id)}
    for record, new_versions, _ in _expected(job, thread_id):
        if not is_needed():
            return
        found = job.target.source.read(record.key) if record.key in known else None
        inherited = _inherited(job, record, new_versions)
        stored = [] if found is None else found.writes
        tasks = differing_tasks(record.writes, stored, with_paths=job.with_paths)
        if differing_parts(record, found, inherited=inherited):
            job.target.put(record, new_versions, tasks)
            job.counts.add(copied_checkpoints=1)
        elif tasks:
            job.target.put_writes(record, tasks)
        job.counts.add(copied_writes=sum(write.task_id in tasks for write in record.writes))
        job.counts.add(checkpoints=record.checkpoint is not None, writes=len(record.writes))
        job.notify()


def verify_thread(job: Job, thread_id: str) -> None:
    """Compare every checkpoint of a thread in both savers by value."""
    for record, new_versions, is_last in _expected(job, thread_id):
        if record.checkpoint is None and not job.target.is_known:
            continue
        found = job.target.source.read(record.key)
        parts = differing_parts(record, found, inherited=_inherited(job, record, new_versions))
        stored = [] if found is None else found.writes
        tasks = differing_tasks(record.writes, stored, with_paths=job.with_paths)
        parts += [f"writes of task {task_id!r}" for task_id in tasks]
        job.counts.add(verified=is_last)
        with job.counts.mutex:
            job.counts.differences += [Difference(*record.key, part) for part in parts]


def _expected(job: Job, thread_id: str) -> Iterator[tuple[Record, dict[str, object], bool]]:
    """Yield what the target has to hold: checkpoint, new versions, and False for an ancestor that
    is not in the source."""
    versions = job.target.versions()
    for key in job.source.keys(thread_id):
        if job.stop.is_set():
            raise StoppedError
        record = job.source.read(key)
        if record is None:  # deleted since it was listed
            continue
        *ancestors, last = job.target.expected(record)
        for ancestor in ancestors:
            yield ancestor, versions.convert(ancestor), False
        yield last, versions.convert(last), True


def _inherited(job: Job, record: Record, new_versions: dict[str, object]) -> set[str]:
    if not job.target.finds_by_version or record.checkpoint is None:
        return set()
    return {*record.checkpoint["channel_versions"]} - {*new_versions}
