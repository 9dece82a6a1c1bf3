"""Lists of threads, by last activity or by prefix."""

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
    """List the threads with activity since a time, latest first, then by descending number.

    The index time of each of them is before `before`.
    """
    heap: list[tuple[int, str, int, Thread]] = []
    entries = heapq.merge(
        time_index.newest(reader, time_index.BY_ACTIVITY, before),
        time_index.newest(reader, time_index.BY_ACTIVITY_OTHER, before),
        key=lambda entry: entry.time,
        reverse=True,
    )
    for entry in entries:
        # Entries lag behind their threads: the remaining threads were active before `latest`.
        latest = entry.time + time_index.INDEX_LAG_MS
        while heap and -heap[0][0] >= latest:
            yield heapq.heappop(heap)[3]
        if latest <= since:
            break
        thread = threads.by_number(reader, entry.thread)
        if thread is not None:
            heapq.heappush(heap, (-thread.updated, thread.id, thread.number, thread))
    while heap:
        yield heapq.heappop(heap)[3]


def by_prefix(
    reader: Reader, prefix: str, on_damage: Callable[[DamagedError], None] | None = None
) -> Iterator[Thread]:
    """List the threads whose ids have a prefix, latest activity first, then by id.

    Args:
        reader: A snapshot.
        prefix: Prefix of the ids.
        on_damage: Function to call for a thread that cannot be read. None: raise the error.
    """
    start = keys.Kind.THREAD_ID + keys.utf8(prefix)[: keys.TEXT_LIMIT]
    found = [
        thread
        for thread in threads.all_threads(reader, on_damage, start)
        if thread.id.startswith(prefix)
    ]
    found.sort(key=lambda thread: (-thread.updated, thread.id))
    return iter(found)
