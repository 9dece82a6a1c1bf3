"""The runs of a store: every run, and the runs that need attention."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.run_state import MAY_RUN, STATES, State
from langgraph.checkpoint.lmdb.saver import KvSaver
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.connections import (
    Connection,
    achosen_lock_manager,
    aopen_connection,
    chosen_lock_manager,
    open_connection,
)
from langgraph.checkpoint.lmdb.workflows.locks import LockManager
from langgraph.checkpoint.lmdb.workflows.status import (
    RESUMABLE,
    CheckpointStatus,
    astatus_of,
    created_at,
    root_config,
    status_of,
)

if TYPE_CHECKING:
    from langgraph.pregel import Pregel


_COMPLETE: frozenset[State] = frozenset(("complete",))
_UNFINISHED = frozenset(STATES) - _COMPLETE


def find_failed_workflows(
    connection: Connection,
    min_age_minutes: float = 5,
    max_age_hours: float = 24,
    *,
    include_waiting: bool = False,
    limit: int | None = None,
    graph: Pregel[Any, Any, Any, Any] | None = None,
    lock_manager: LockManager | None = None,
    clock: Callable[[], float] = time.time,
) -> list[CheckpointStatus]:
    """Return the runs that failed or stalled, the one that was active last first.

    Runs that are running are left out.

    Args:
        connection: Path or connection string of a store, or any saver.
        min_age_minutes: Minutes since the last activity of the thread, at least.
        max_age_hours: Hours since the last activity of the thread, at most.
        include_waiting: Return runs that wait for an answer, too.
        limit: Return at most so many.
        graph: As for `get_checkpoint_status`: a run at a static breakpoint is waiting.
        lock_manager: As for `get_checkpoint_status`.
        clock: Returns the time in seconds since the epoch.

    Raises:
        UsageError: An argument is not what it must be, or the ages leave nothing. It is a
            ValueError.
        InvalidPathError: There is no store.
    """
    since, until = _window(min_age_minutes, max_age_hours, clock())
    states = _wanted_states(include_waiting)
    limit = arguments.optional_count(limit, "limit", "runs")
    with open_connection(connection, readonly=True) as saver:
        found = statuses(
            saver, states=states, since=since, until=until, graph=graph, lock_manager=lock_manager
        )
    return found[:limit]


async def afind_failed_workflows(
    connection: Connection,
    min_age_minutes: float = 5,
    max_age_hours: float = 24,
    *,
    include_waiting: bool = False,
    limit: int | None = None,
    graph: Pregel[Any, Any, Any, Any] | None = None,
    lock_manager: LockManager | None = None,
    clock: Callable[[], float] = time.time,
) -> list[CheckpointStatus]:
    """Async version of `find_failed_workflows`."""
    since, until = _window(min_age_minutes, max_age_hours, clock())
    states = _wanted_states(include_waiting)
    limit = arguments.optional_count(limit, "limit", "runs")
    async with aopen_connection(connection, readonly=True) as saver:
        found = await astatuses(
            saver, states=states, since=since, until=until, graph=graph, lock_manager=lock_manager
        )
    return found[:limit]


def statuses(
    saver: BaseCheckpointSaver[Any],
    *,
    states: Collection[State] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    graph: Pregel[Any, Any, Any, Any] | None = None,
    lock_manager: LockManager | None = None,
) -> list[CheckpointStatus]:
    """Return the statuses of all threads of a saver, the one that was active last first.

    Args:
        saver: The saver.
        states: Only runs in these states.
        since: Only threads that were active at or after this time.
        until: Only threads that were not active after this time.
        graph: As for `get_checkpoint_status`.
        lock_manager: As for `get_checkpoint_status`.
    """
    locks = chosen_lock_manager(saver, lock_manager)
    latest = _Latest(since, until)
    try:
        for found in _candidates(saver, since, _indexed_states(states, graph)):
            latest.add(found)
    except NotImplementedError as error:
        raise _cannot_list(saver) from error
    every = [status_of(saver, found, graph, locks) for found in latest.found()]
    return [status for status in every if states is None or status.state in states]


async def astatuses(
    saver: BaseCheckpointSaver[Any],
    *,
    states: Collection[State] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    graph: Pregel[Any, Any, Any, Any] | None = None,
    lock_manager: LockManager | None = None,
) -> list[CheckpointStatus]:
    """Async version of `statuses`."""
    locks = await achosen_lock_manager(saver, lock_manager)
    latest = _Latest(since, until)
    try:
        async for found in _acandidates(saver, since, _indexed_states(states, graph)):
            latest.add(found)
    except NotImplementedError as error:
        raise _cannot_list(saver) from error
    every = [await astatus_of(saver, found, graph, locks) for found in latest.found()]
    return [status for status in every if states is None or status.state in states]


def overview(
    saver: BaseCheckpointSaver[Any], since: datetime, lock_manager: LockManager | None
) -> tuple[list[CheckpointStatus], int]:
    """Return the statuses of the runs, and the number of the complete ones.

    A run that completed before a time has no status: our own savers do not read its checkpoint.
    """
    if not isinstance(saver, KvSaver):
        return _split(statuses(saver, lock_manager=lock_manager), since)
    found = statuses(saver, states=_UNFINISHED, lock_manager=lock_manager)
    found += statuses(saver, states=_COMPLETE, since=since, lock_manager=lock_manager)
    return found, len(saver.threads(state="complete"))


async def aoverview(
    saver: BaseCheckpointSaver[Any], since: datetime, lock_manager: LockManager | None
) -> tuple[list[CheckpointStatus], int]:
    """Async version of `overview`."""
    if not isinstance(saver, KvSaver):
        return _split(await astatuses(saver, lock_manager=lock_manager), since)
    found = await astatuses(saver, states=_UNFINISHED, lock_manager=lock_manager)
    found += await astatuses(saver, states=_COMPLETE, since=since, lock_manager=lock_manager)
    return found, len(await saver.athreads(state="complete"))


def _split(every: list[CheckpointStatus], since: datetime) -> tuple[list[CheckpointStatus], int]:
    found = [
        status
        for status in every
        if not status.is_complete or (status.created_at is not None and status.created_at >= since)
    ]
    return found, sum(status.is_complete for status in every)


def _indexed_states(
    states: Collection[State] | None, graph: Pregel[Any, Any, Any, Any] | None
) -> Collection[State] | None:
    """Return the states without a graph and locks of all runs that may be in one of some states.

    A graph may tell another state, but it finds no tasks in a run that is complete without it.

    Returns:
        The states; None if they are all.
    """
    if states is None or (graph is not None and "complete" in states):
        return None
    wanted = _UNFINISHED if graph is not None else frozenset(states)
    return (wanted | MAY_RUN if "running" in wanted else wanted) - {"running"}


def _candidates(
    saver: BaseCheckpointSaver[Any],
    since: datetime | None,
    states: Collection[State] | None,
) -> Iterator[CheckpointTuple]:
    """Yield at least the latest root checkpoint of each thread that was active since a time.

    Our own savers read only these threads, and only those whose run is in one of the states. Other
    savers list all checkpoints.
    """
    if not isinstance(saver, KvSaver):
        yield from saver.list(None)
        return
    for thread in saver.threads(updated_after=_just_before(since), state=states):
        found = saver.get_tuple(root_config(thread.thread_id))
        if found is not None:
            yield found


async def _acandidates(
    saver: BaseCheckpointSaver[Any],
    since: datetime | None,
    states: Collection[State] | None,
) -> AsyncIterator[CheckpointTuple]:
    """Async version of `_candidates`."""
    if not isinstance(saver, KvSaver):
        async for found in saver.alist(None):
            yield found
        return
    for thread in await saver.athreads(updated_after=_just_before(since), state=states):
        of_thread = await saver.aget_tuple(root_config(thread.thread_id))
        if of_thread is not None:
            yield of_thread


def _just_before(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment - timedelta(milliseconds=1)


def _window(
    min_age_minutes: object, max_age_hours: object, now: float
) -> tuple[datetime, datetime]:
    """Return the earliest and the latest time that two ages allow."""
    least = arguments.number(min_age_minutes, "min_age_minutes", "minutes") * 60
    most = arguments.number(max_age_hours, "max_age_hours", "hours") * 3600
    if most <= least:
        expected = f"more than min_age_minutes ({min_age_minutes!r} minutes)"
        arguments.refuse("max_age_hours", expected, max_age_hours)
    return _moment(now - most), _moment(now - least)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(max(seconds, 1), timezone.utc)


def _wanted_states(include_waiting: object) -> frozenset[State]:
    return RESUMABLE | (
        {"waiting"} if arguments.flag(include_waiting, "include_waiting") else set()
    )


class _Latest:
    """The latest root checkpoint of each thread, of those that are added in any order."""

    def __init__(self, since: datetime | None, until: datetime | None) -> None:
        self._since = since
        self._until = until
        self._by_thread: dict[str, _Dated] = {}

    def add(self, found: CheckpointTuple) -> None:
        at = found.config["configurable"]
        if at.get("checkpoint_ns"):
            return
        checkpoint_id, thread_id = found.checkpoint["id"], at["thread_id"]
        known = self._by_thread.get(thread_id)
        if known is None or known.checkpoint_id < checkpoint_id:
            created = created_at(found)
            is_wanted = self._is_wanted(created)
            self._by_thread[thread_id] = _Dated(
                checkpoint_id, created, found if is_wanted else None
            )

    def found(self) -> list[CheckpointTuple]:
        """Return those within the time, newest first."""
        never = datetime.min.replace(tzinfo=timezone.utc)
        dated = sorted(
            self._by_thread.values(),
            key=lambda dated: (dated.created or never, dated.checkpoint_id),
            reverse=True,
        )
        return [dated.found for dated in dated if dated.found is not None]

    def _is_wanted(self, created: datetime | None) -> bool:
        if created is None:
            return self._since is None and self._until is None
        after = self._since is None or created >= self._since
        return after and (self._until is None or created <= self._until)


class _Dated(NamedTuple):
    """A thread's latest checkpoint, without the checkpoint if its time is not wanted."""

    checkpoint_id: str
    created: datetime | None
    found: CheckpointTuple | None


def _cannot_list(saver: object) -> UsageError:
    return UsageError(
        f"the saver {type(saver).__name__} cannot list its threads",
        advice="Pass a saver whose list(None) yields the checkpoints of all threads.",
    )
