"""The copy of one thread, and its comparison."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from langgraph.checkpoint.lmdb.migrate.comparing import (
    as_continued,
    differing_parts,
    differing_tasks,
)
from langgraph.checkpoint.lmdb.migrate.models import Difference, Key, Record
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
    for found in _compare(job, thread_id, known.__contains__):
        if not is_needed():
            return
        record, tasks = found.record, found.tasks
        if found.parts:
            job.target.put(record, found.new_versions, tasks)
            job.counts.add(copied_checkpoints=1)
        elif tasks:
            job.target.put_writes(record, tasks)
        job.counts.add(copied_writes=sum(write.task_id in tasks for write in record.writes))
        job.counts.add(checkpoints=record.checkpoint is not None, writes=len(record.writes))
        job.notify()


def verify_thread(job: Job, thread_id: str) -> None:
    """Compare every checkpoint of a thread in both savers by value."""
    for found in _compare(job, thread_id):
        record = found.record
        if record.checkpoint is None and not job.target.is_known:
            continue
        parts = [*found.parts, *(f"writes of task {task_id!r}" for task_id in found.tasks)]
        job.counts.add(verified=found.is_in_source)
        with job.counts.mutex:
            job.counts.differences += [Difference(*record.key, part) for part in parts]


class _Comparison(NamedTuple):
    """What the target has to hold of a checkpoint, and what differs there."""

    record: Record
    new_versions: dict[str, object]
    parts: list[str]
    """Parts of the checkpoint that differ."""
    tasks: list[str]
    """Ids of tasks whose writes differ."""
    is_in_source: bool
    """False: a deleted ancestor that the target holds as a checkpoint of its own."""


def _compare(
    job: Job, thread_id: str, is_known: Callable[[Key], bool] = lambda _: True
) -> Iterator[_Comparison]:
    """Compare the checkpoints of a thread in both savers, oldest first.

    Args:
        job: The two savers.
        thread_id: The thread.
        is_known: A function that returns False for a checkpoint that the target lacks.
    """
    target, versions = job.target.source, job.target.versions()
    keys = job.source.keys(thread_id)
    state = target.state(thread_id)
    tip = (state.tip if state else None) or ""
    is_continued = bool(keys) and tip > keys[-1].checkpoint_id
    for key in keys:
        if job.stop.is_set():
            raise StoppedError
        read = job.source.read(key)
        if read is None:  # deleted since it was listed
            continue
        for record in job.target.expected(read):
            new_versions = versions.convert(record)
            found = target.read(record.key) if is_known(record.key) else None
            inherited = _inherited(job, record, new_versions)
            parts = differing_parts(record, found, inherited=inherited)
            stored = [] if found is None else found.writes
            record.writes = as_continued(record.writes, stored, is_continued=is_continued)
            tasks = differing_tasks(record.writes, stored, with_paths=job.with_paths)
            yield _Comparison(record, new_versions, parts, tasks, record.key == key)


def _inherited(job: Job, record: Record, new_versions: dict[str, object]) -> set[str]:
    if not job.target.finds_by_version or record.checkpoint is None:
        return set()
    return {*record.checkpoint["channel_versions"]} - {*new_versions}
