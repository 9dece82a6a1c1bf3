"""When a thread is copied from the old to the new saver, and the marks that tell it.

A mark has the tips of both savers after the copy. The thread changed in a saver if its tips differ
from the mark.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import empty_checkpoint

from langgraph.checkpoint.lmdb.errors import ThreadDivergedError
from langgraph.checkpoint.lmdb.migrate.copying import Job, copy_thread
from langgraph.checkpoint.lmdb.migrate.endpoints import blocking, source_of
from langgraph.checkpoint.lmdb.migrate.models import Key
from langgraph.checkpoint.lmdb.migrate.source import Tip
from langgraph.checkpoint.lmdb.migrate.target import Target

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from langgraph.checkpoint.base import BaseCheckpointSaver

MARKS = "langgraph-migrate"
_MARK_ID = "00000000-0000-6000-8000-000000000000"
_LOCKS = 64


class CatchUp:
    """The copying of threads for a CatchUpSaver.

    Args:
        old: The saver with the existing threads.
        new: The saver that is written.
    """

    def __init__(self, old: BaseCheckpointSaver[Any], new: BaseCheckpointSaver[Any]) -> None:
        self._savers = (old, new)
        self.loop: asyncio.AbstractEventLoop | None = None
        """Event loop of savers with asynchronous methods only."""
        self.old = old
        self.new = new
        self._job: Job | None = None
        self._opening = threading.Lock()
        self._locks = [threading.RLock() for _ in range(_LOCKS)]
        self._used: set[str] = set()

    def open(self) -> Job:
        """Return the job that copies threads, made in the first call."""
        with self._opening:
            if self._job is None:
                old, new = self._savers
                target = Target(blocking(new, self.loop), source_of(new, self.loop))
                self.old, self.new = blocking(old, self.loop), target.saver
                self._job = Job(source_of(old, self.loop), target)
            return self._job

    def is_used(self, thread_id: str) -> bool:
        """Return True if this process has used the thread."""
        return thread_id in self._used

    def use(self, thread_id: str, is_write: bool = False) -> None:
        """Copy what the new saver lacks of a thread.

        Args:
            thread_id: The thread.
            is_write: True: the caller has read the thread if this process used it before.

        Raises:
            ThreadDivergedError: The thread changed in both savers.
        """
        if thread_id == MARKS or (is_write and thread_id in self._used):
            return
        job = self.open()
        with self._locks[hash(thread_id) % _LOCKS]:
            self._catch_up(job, thread_id)
            self._used.add(thread_id)

    def use_runs(self, run_ids: Sequence[str]) -> None:
        """Copy the threads of the old saver that have checkpoints of runs."""
        self.open()
        for run_id in run_ids:
            found = self.old.list(None, filter={"run_id": str(run_id)})
            for thread_id in {str(item.config["configurable"]["thread_id"]) for item in found}:
                self.use(thread_id)

    def mark_deleted(self, thread_id: str) -> None:
        """Record that a thread was deleted."""
        self.open()
        with self._locks[hash(thread_id) % _LOCKS]:
            self._write_mark(thread_id, {"deleted": True})

    def threads(self) -> list[str]:
        """Return the ids of the threads of both savers, without deleted threads, sorted."""
        job = self.open()
        new = {*job.target.source.threads()} - {MARKS}
        return sorted(new | self.waiting())

    def waiting(self) -> set[str]:
        """Return the ids of the threads that only the old saver has."""
        job = self.open()
        return {
            name
            for name in job.source.threads()
            if self._mark(job, name) is None and not job.target.source.tips(name)
        }

    def _catch_up(self, job: Job, thread_id: str) -> None:
        mark = self._mark(job, thread_id)
        if mark is not None and mark.get("deleted"):
            return
        old = job.source.tips(thread_id)
        if not old or (mark is not None and _tips(mark, "old") == old):
            return
        new = job.target.source.tips(thread_id)
        if mark is not None and _tips(mark, "new") != new:
            raise _diverged(thread_id, old, new)
        if mark is None and not self._is_copied_from(job, thread_id, new):
            if not self._holds(job, thread_id, old):
                raise _diverged(thread_id, old, new)
        else:
            copy_thread(job, thread_id)
            new = job.target.source.tips(thread_id)
        self._write_mark(thread_id, {"old": list(map(list, old)), "new": list(map(list, new))})

    def _is_copied_from(self, job: Job, thread_id: str, new: list[Tip]) -> bool:
        """Return True if the old saver has all that the new one has, after an earlier migration."""
        keys = {*job.source.keys(thread_id)} if new else set()
        return all((thread_id, tip.checkpoint_ns, tip.checkpoint_id) in keys for tip in new)

    def _holds(self, job: Job, thread_id: str, old: list[Tip]) -> bool:
        """Return True if the new saver has the tips of the old one, and went on from there."""
        keys = {*job.target.source.keys(thread_id)}
        return all((thread_id, tip.checkpoint_ns, tip.checkpoint_id) in keys for tip in old)

    def _mark(self, job: Job, thread_id: str) -> dict[str, Any] | None:
        found = job.target.source.read(Key(MARKS, thread_id, _MARK_ID))
        return None if found is None else found.metadata["mark"]

    def _write_mark(self, thread_id: str, mark: dict[str, Any]) -> None:
        checkpoint: Any = {**empty_checkpoint(), "id": _MARK_ID}
        metadata: Any = {"source": "update", "step": -1, "parents": {}, "mark": mark}
        config: Any = {"configurable": {"thread_id": MARKS, "checkpoint_ns": thread_id}}
        self.new.put(config, checkpoint, metadata, {})


def _tips(mark: dict[str, Any], side: str) -> list[Tip]:
    return [Tip(*row) for row in mark[side]]


def _diverged(thread_id: str, old: list[Tip], new: list[Tip]) -> ThreadDivergedError:
    return ThreadDivergedError(
        "the thread has changed in both savers",
        thread_id=thread_id,
        old_tip=_newest(old),
        new_tip=_newest(new),
    )


def _newest(tips: list[Tip]) -> str | None:
    return max((tip.checkpoint_id for tip in tips), default=None)
