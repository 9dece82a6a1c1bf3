"""Threads: the rows of a list of threads, by pages."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.models import ThreadSort
from langgraph.checkpoint.lmdb.run_state import MAY_RUN, State
from langgraph.checkpoint.lmdb.running import RunningThreads, running_threads
from langgraph.checkpoint.lmdb.views.steps import error_of
from langgraph.checkpoint.lmdb.views.stores import all_threads, config_of, place_of

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import KvSaver, ThreadInfo

_INDEXED_STATES: tuple[State, ...] = ("failed", "waiting", "stalled")
LISTED_STATES: tuple[State, ...] = ("running", *_INDEXED_STATES, "complete", "unknown")
"""States by which threads are listed."""
_FIELDS: dict[str, ThreadSort] = {
    "updated": "updated",
    "created": "created",
    "id": "thread_id",
    "steps": "checkpoints",
    "size": "bytes",
}
SORTS = tuple(_FIELDS)


@dataclass(frozen=True, slots=True)
class ThreadView:
    """A thread and the state of its latest run."""

    info: ThreadInfo
    state: State | None
    """State of the latest run; `running` if a live process holds its lock."""
    error: str | None
    """Error of the latest run, if that failed."""

    def to_dict(self) -> dict[str, Any]:
        """Return the thread as data for JSON."""
        info = self.info
        return {
            "thread_id": info.thread_id,
            "state": self.state,
            "next": list(info.next),
            "error": self.error,
            "created": info.created.isoformat(),
            "updated": info.updated.isoformat(),
            "expires": None if info.expires is None else info.expires.isoformat(),
            "namespaces": list(info.namespaces),
            "checkpoints": info.checkpoints,
            "writes": info.writes,
            "bytes": info.bytes,
            "step": info.step,
            "source": info.source,
        }


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """A choice of threads to list.

    Attributes:
        states: Only threads whose latest run is in one of these states; empty: all.
        prefix: Beginning of the thread ids.
        metadata: Metadata that a checkpoint of the thread must have.
        sort: One of `SORTS`. All but `id` put the largest first.
        reverse: Turn the order around.
        limit: Highest number of threads; None: all.
        after: Id of the thread to continue after.
    """

    states: Collection[State] = ()
    prefix: str | None = None
    metadata: dict[str, Any] | None = None
    sort: str = "updated"
    reverse: bool = False
    limit: int | None = None
    after: str | None = None


def list_threads(saver: KvSaver, query: ThreadQuery) -> Iterator[ThreadView]:
    """Yield the threads of a query.

    The order `updated` reads only the threads that it yields. Other orders read the records of all
    threads that the query admits.
    """
    running = running_threads(saver)
    for info in islice(_chosen(saver, query, running), query.limit):
        yield thread_of(saver, info, running)


def count_states(saver: KvSaver, most: int) -> dict[State, int]:
    """Return the number of threads in each state that needs attention, up to `most` + 1."""
    return {
        name: len(saver.threads(state=name, limit=most + 1, details=False))
        for name in _INDEXED_STATES
    }


def thread_of(saver: KvSaver, info: ThreadInfo, running: RunningThreads) -> ThreadView:
    """Return a thread with the state and the error of its latest run.

    Args:
        saver: The saver.
        info: The thread.
        running: The threads whose run holds its lock.
    """
    state = _state_of(info, running)
    error = None
    if state == "failed":
        for latest in saver.list(config_of(info.thread_id), limit=1, values=False):
            error = error_of(latest)
    return ThreadView(info, state, error)


def _state_of(info: ThreadInfo, running: RunningThreads) -> State | None:
    return "running" if info.state in MAY_RUN and info.thread_id in running else info.state


def _chosen(saver: KvSaver, query: ThreadQuery, running: RunningThreads) -> Iterator[ThreadInfo]:
    wanted = frozenset(query.states)
    if not running:
        wanted -= {"running"}
        if query.states and not wanted:
            return iter(())
    stored = (wanted | MAY_RUN if "running" in wanted else wanted) - {"running"}
    found = all_threads(
        saver,
        query.prefix,
        stored or None,
        query.after,
        sort=_FIELDS[query.sort],
        reverse=query.reverse,
    )
    if wanted:
        found = (info for info in found if _state_of(info, running) in wanted)
    if query.metadata is not None:
        named = _with_metadata(saver, query.metadata)
        found = (info for info in found if info.thread_id in named)
    return found


def _with_metadata(saver: KvSaver, metadata: dict[str, Any]) -> set[str]:
    return {
        place_of(found)["thread_id"] for found in saver.list(None, filter=metadata, values=False)
    }
