"""Changes: the threads of a store that changed since the last look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.running import running_threads
from langgraph.checkpoint.lmdb.views.threads import ThreadView, thread_of

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import KvSaver, ThreadInfo

_FIRST = 10
"""Threads of the first look."""


def changed_threads(saver: KvSaver, prefix: str | None = None) -> Iterator[list[ThreadView]]:
    """Yield the threads that changed since the last step of the iterator, the oldest change first.

    The first list has the threads that were active last. It never ends; an empty list means that
    nothing changed. Each step reads the threads that were active since the last one.
    """
    since: datetime | None = None
    seen: dict[str, ThreadInfo] = {}
    while True:
        # Two changes may have the same millisecond: read it again, and leave out what was seen.
        after = None if since is None else since - timedelta(milliseconds=1)
        found = saver.threads(prefix, updated_after=after, limit=_FIRST if since is None else None)
        new = [info for info in found if seen.get(info.thread_id) != info]
        if found:
            since = found[0].updated
            seen = {info.thread_id: info for info in found if info.updated == since}
        running = running_threads(saver)
        yield [thread_of(saver, info, running) for info in reversed(new)]


def mark_of(saver: KvSaver) -> tuple[Any, ...]:
    """Return a mark of the content of a store: as long as it is the same, nothing has changed.

    Reads only totals, the locks of runs, and the thread with the latest activity.
    """
    totals = saver.stats()
    counts = totals.threads, totals.checkpoints, totals.writes, totals.bytes
    return *counts, running_threads(saver).mark, saver.threads(limit=1)
