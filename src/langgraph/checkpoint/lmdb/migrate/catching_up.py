"""When a thread is copied from the old to the new saver, and the marks that tell it.

A mark is one of three:

- {"copying": True}: a copy began. Until it ends, the new saver has no changes of its own.
- {"old": ..., "new": ...}: the states of the thread in both savers after a copy. The thread has
  changed in a saver if its state differs from the mark.
- {"deleted": True}: the thread was deleted, and is never copied again.

Two processes that copy a thread at the same time write equal checkpoints. A process reads the mark
before it writes a checkpoint, and ends its copy if the other one has completed the thread: that one
may have continued the thread, or deleted checkpoints of it. After its copy it reads the mark again.
Only a checkpoint that is deleted between that read and its write comes back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint

from langgraph.checkpoint.lmdb.errors import ThreadDivergedError
from langgraph.checkpoint.lmdb.migrate.copying import Job, copy_thread
from langgraph.checkpoint.lmdb.migrate.endpoints import blocking, source_of
from langgraph.checkpoint.lmdb.migrate.history import is_ancestor_id
from langgraph.checkpoint.lmdb.migrate.models import Key
from langgraph.checkpoint.lmdb.migrate.source import Source, ThreadState
from langgraph.checkpoint.lmdb.migrate.target import Target
from langgraph.checkpoint.lmdb.saver import KvSaver

MARKS = "langgraph-migrate"
_MARK_ID = "00000000-0000-6000-8000-000000000000"
_COPYING, _DELETED = {"copying": True}, {"deleted": True}
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

    def close(self) -> None:
        """Close the connections of the readers."""
        if self._job is not None:
            self._job.source.close()
            self._job.target.source.close()

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
            self._write_mark(thread_id, _DELETED)

    def threads(self) -> list[str]:
        """Return the ids of the threads of both savers, without deleted threads, sorted."""
        return sorted({*self.open().target.source.threads()} - {MARKS} | self.waiting())

    def waiting(self) -> set[str]:
        """Return the ids of the threads that the new saver does not have, or not completely."""
        job = self.open()
        at: Any = {"configurable": {"thread_id": MARKS}}
        marks = {
            found.config["configurable"]["checkpoint_ns"]: found.metadata.get("mark")
            for found in self.new.list(at)
        }
        moved = {*job.target.source.threads(), *marks}
        return {
            thread_id
            for thread_id in job.source.threads()
            if thread_id not in moved or marks.get(thread_id) == _COPYING
        }

    def _catch_up(self, job: Job, thread_id: str) -> None:
        mark = self._mark(job, thread_id)
        old = job.source.state(thread_id)
        if old is None or mark == _DELETED or (mark and mark.get("old") == old.text):
            return
        new = job.target.source.state(thread_id)
        if mark is not None and mark != _COPYING:
            is_untouched = new is not None and mark["new"] == new.text
        else:
            is_untouched = _has_all(job.source, job.target.source, thread_id)
        if is_untouched:
            self._write_mark(thread_id, _COPYING)
            copy_thread(job, thread_id, lambda: self._mark(job, thread_id) == _COPYING)
            self._complete(job, thread_id, old)
        elif mark is None and _has_all(job.target.source, job.source, thread_id):
            self._write_mark(thread_id, _copied(old, new))  # by an earlier migration
        else:
            raise _diverged(thread_id, old, new)

    def _complete(self, job: Job, thread_id: str, old: ThreadState) -> None:
        """Write the mark of a copy. Another process may have used the thread in the meantime."""
        new = job.target.source.state(thread_id)
        mark = self._mark(job, thread_id)  # read last, so that it is not older than `new`
        if mark == _DELETED:
            self.new.delete_thread(thread_id)
        elif mark and mark.get("old") == old.text:
            return
        elif mark != _COPYING:  # another process completed the copy of an older state
            self._catch_up(job, thread_id)
        elif _has_all(job.source, job.target.source, thread_id):
            self._write_mark(thread_id, _copied(old, new))
        else:
            raise _diverged(thread_id, old, new)

    def _mark(self, job: Job, thread_id: str) -> dict[str, Any] | None:
        found = job.target.source.read(Key(MARKS, thread_id, _MARK_ID))
        return None if found is None else found.metadata["mark"]

    def _write_mark(self, thread_id: str, mark: dict[str, Any]) -> None:
        checkpoint: Any = {**empty_checkpoint(), "id": _MARK_ID}
        metadata: Any = {"source": "update", "step": -1, "parents": {}, "mark": mark}
        config: Any = {"configurable": {"thread_id": MARKS, "checkpoint_ns": thread_id}}
        self.new.put(config, checkpoint, metadata, {})
        if isinstance(self.new, KvSaver):  # whose TTL would delete the marks of an idle service
            self.new.set_ttl(MARKS, None)


def _has_all(source: Source, other: Source, thread_id: str) -> bool:
    """Return True if a source has all checkpoints that another one has of a thread."""
    made = {key for key in other.keys(thread_id) if not is_ancestor_id(key.checkpoint_id)}
    return made <= {*source.keys(thread_id)}


def _copied(old: ThreadState, new: ThreadState | None) -> dict[str, Any]:
    return {"old": old.text, "new": None if new is None else new.text}


def _diverged(thread_id: str, old: ThreadState, new: ThreadState | None) -> ThreadDivergedError:
    return ThreadDivergedError(
        "the thread has changed in both savers",
        thread_id=thread_id,
        old_tip=old.tip,
        new_tip=None if new is None else new.tip,
    )
