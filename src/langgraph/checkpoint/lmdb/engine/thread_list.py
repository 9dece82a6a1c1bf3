"""Threads by their last activity."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import threads, time_index
from langgraph.checkpoint.lmdb.format import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.errors import DamagedError
    from langgraph.checkpoint.lmdb.kv.base import Reader


def by_time(reader: Reader, since: int, before: int) -> Iterator[Thread]:
    """The threads with activity since a time, none of them filed at another or later; the latest
    first, then by descending number."""
    ahead: list[tuple[int, str, int, Thread]] = []
    entries = heapq.merge(
        time_index.newest(reader, time_index.BY_ACTIVITY, before),
        time_index.newest(reader, time_index.BY_ACTIVITY_OTHER, before),
        key=lambda entry: entry.time,
        reverse=True,
    )
    for entry in entries:
        # Entries may be behind their threads: those to come are of threads active before `latest`.
        latest = entry.time + time_index.INDEX_LAG_MS
        while ahead and -ahead[0][0] >= latest:
            yield heapq.heappop(ahead)[3]
        if latest <= since:
            break
        thread = threads.by_number(reader, entry.thread)
        if thread is not None:
            heapq.heappush(ahead, (-thread.updated, thread.id, thread.number, thread))
    while ahead:
        yield heapq.heappop(ahead)[3]


def by_prefix(
    reader: Reader, prefix: str, on_damage: Callable[[DamagedError], None] | None = None
) -> Iterator[Thread]:
    """The threads whose ids begin so, in the same order.

    Args:
        on_damage: Called for a thread that cannot be read; if not given, that raises.
    """
    start = keys.Kind.THREAD_ID + keys.utf8(prefix)[: keys.TEXT_LIMIT]
    found = [
        thread
        for thread in threads.all_threads(reader, on_damage, start)
        if thread.id.startswith(prefix)
    ]
    found.sort(key=lambda thread: (-thread.updated, thread.id))
    return iter(found)
