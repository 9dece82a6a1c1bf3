"""The operations that list: ancestors, children, branches, threads, and the totals of a store."""

from __future__ import annotations

import heapq
import operator
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import TypeAlias, cast

from langchain_core.runnables import RunnableConfig

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.engine import branches as engine_branches
from langgraph.checkpoint.lmdb.engine import checkpoints, namespaces, paging, states
from langgraph.checkpoint.lmdb.engine import writes as engine_writes
from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
from langgraph.checkpoint.lmdb.engine.thread_record import MAX_TIME, Thread
from langgraph.checkpoint.lmdb.engine.totals import total
from langgraph.checkpoint.lmdb.errors import DamagedError, ThreadNotFoundError
from langgraph.checkpoint.lmdb.models import (
    THREAD_SORTS,
    Branch,
    StoreStats,
    ThreadInfo,
    ThreadSort,
)
from langgraph.checkpoint.lmdb.operations import configs, get, run_states
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
from langgraph.checkpoint.lmdb.operations.retention import to_epoch_ms
from langgraph.checkpoint.lmdb.operations.session import Session
from langgraph.checkpoint.lmdb.run_state import State

_END_OF_TIME = 1 << 62
_Position: TypeAlias = "tuple[int | str, str]"
_POSITIONS: dict[ThreadSort, Callable[[Thread], _Position]] = {
    "updated": lambda thread: (-thread.updated, thread.id),
    "created": lambda thread: (-thread.created, thread.id),
    "checkpoints": lambda thread: (-thread.checkpoints, thread.id),
    "bytes": lambda thread: (-thread.total_size, thread.id),
    "thread_id": lambda thread: (thread.id, thread.id),
}
"""Position of a thread in each order."""


def stats(session: Session) -> StoreStats:
    """Return the totals of the store."""
    with session.snapshot() as snapshot:
        totals = total(snapshot.reader)
    return StoreStats(**totals._asdict(), file_bytes=session.kv.size())


def lineage(
    session: Session, config: RunnableConfig, skip_damaged: bool = False
) -> Iterator[CheckpointRef]:
    """Yield a checkpoint, its parent, and so on; end at a loop.

    Args:
        session: The session.
        config: The checkpoint.
        skip_damaged: True: also end at a damaged checkpoint.
    """
    ref = configs.parse_config(config)
    seen: set[str] = set()
    while True:
        try:
            found = get.find_record(session, ref)
        except DamagedError as error:
            if not skip_damaged:
                raise
            get.log_skipped(error)
            return
        if found is None or found.id in seen:
            return
        seen.add(found.id)
        yield ref._replace(checkpoint_id=found.id)
        if found.parent is None:
            return
        ref = ref._replace(checkpoint_id=found.parent)


def children(session: Session, config: RunnableConfig) -> list[CheckpointRef]:
    """Return the children of the checkpoint that a config names, by descending id."""
    ref = configs.parse_config(config)
    found = get.find_record(session, ref)
    if found is None:
        return []
    try:
        with session.snapshot() as snapshot:
            namespace = snapshot.namespace(ref.thread_id, ref.checkpoint_ns)
            if namespace is None:
                return []
            ids = checkpoints.child_ids(snapshot.reader, namespace, found.id)
    except DamagedError as error:
        session.add_owner(error)
        raise
    return [ref._replace(checkpoint_id=checkpoint_id) for checkpoint_id in reversed(ids)]


def branches(session: Session, thread_id: object, checkpoint_ns: str) -> list[Branch]:
    """Return the branches of a namespace, by descending id of their tips."""
    name = validation.text(thread_id, "thread_id")
    checkpoint_ns = validation.text(checkpoint_ns, "checkpoint_ns")
    with session.snapshot() as snapshot:
        namespace = snapshot.namespace(name, checkpoint_ns)
        if namespace is None:
            return []
        return engine_branches.branches(snapshot.reader, namespace)


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """A choice of threads to list, in an order."""

    prefix: str
    since: int
    before: int
    limit: int | None
    states: frozenset[State] | None
    sort: ThreadSort
    reverse: bool
    details: bool
    skip_damaged: bool


def parse_query(
    prefix: str | None,
    updated_after: datetime | float | None,
    updated_before: datetime | float | None,
    limit: int | None,
    state: State | Collection[State] | None,
    sort: str,
    reverse: bool,
    details: bool,
    skip_damaged: bool,
) -> ThreadQuery:
    """Return the query that the arguments of `threads` mean."""
    return ThreadQuery(
        limit=validation.optional_count(limit, "limit", "threads"),
        prefix="" if prefix is None else validation.text(prefix, "prefix"),
        states=run_states.parse(state),
        since=0 if updated_after is None else to_epoch_ms(updated_after, "updated_after") + 1,
        before=_END_OF_TIME
        if updated_before is None
        else to_epoch_ms(updated_before, "updated_before"),
        sort=cast("ThreadSort", validation.choice(sort, "sort", THREAD_SORTS)),
        reverse=validation.flag(reverse, "reverse"),
        details=validation.flag(details, "details"),
        skip_damaged=validation.flag(skip_damaged, "skip_damaged"),
    )


def threads(
    session: Session, query: ThreadQuery, after: ThreadInfo | str | None
) -> list[ThreadInfo]:
    """Return threads in the order of a query, from behind `after`."""
    found: list[ThreadInfo] = []
    if query.limit == 0:
        return found
    try:
        with session.snapshot() as snapshot:
            read = partial(_info_unless_damaged, session, snapshot, query)
            ordered = _ordered(snapshot, query, after)
            for _, info in paging.read_each(snapshot.reader, read, ordered, query.limit):
                if info is not None and (query.states is None or info.state in query.states):
                    found.append(info)
                    if len(found) == query.limit:
                        break
    except DamagedError as error:
        session.add_owner(error)
        raise
    return found


def _ordered(
    snapshot: Snapshot, query: ThreadQuery, after: ThreadInfo | str | None
) -> Iterator[Thread]:
    position = _POSITIONS[query.sort]
    last = None if after is None else _end_of_page(snapshot, query.sort, after)
    is_as_stored = query.sort == "updated" and not query.reverse
    before = query.before
    if is_as_stored and last is not None:
        before = min(before, 1 - cast("int", last[0]))
    found = snapshot.newest_threads(
        query.prefix,
        query.since,
        before,
        run_states.numbers(query.states),
        get.log_skipped if query.skip_damaged else None,
    )
    if last is not None:
        is_behind = operator.lt if query.reverse else operator.gt
        found = (thread for thread in found if is_behind(position(thread), last))
    if is_as_stored:
        return found
    if query.limit is None or query.states is not None:  # some may not be in a wanted state
        return iter(sorted(found, key=position, reverse=query.reverse))
    choose = heapq.nlargest if query.reverse else heapq.nsmallest
    return iter(choose(query.limit, found, key=position))


def _end_of_page(snapshot: Snapshot, sort: ThreadSort, after: ThreadInfo | str) -> _Position:
    """Return the position of the last thread of a page in the order of the list."""
    if isinstance(after, ThreadInfo):
        value = getattr(after, sort)
        if isinstance(value, str):
            return value, value
        if isinstance(value, datetime):
            value = round(value.timestamp() * 1000)
        return -value, after.thread_id
    name = validation.text(after, "after")
    thread = snapshot.thread(name)
    if thread is None:
        raise ThreadNotFoundError(
            "the thread to continue after does not exist any more",
            thread_id=name,
            advice="Pass the last ThreadInfo that threads() returned instead of its id.",
        )
    return _POSITIONS[sort](thread)


def _info_unless_damaged(
    session: Session, snapshot: Snapshot, query: ThreadQuery, thread: Thread
) -> ThreadInfo | None:
    """Return what the list shows of a thread; None for a damaged one that is to be skipped."""
    try:
        return _info(session, snapshot, thread, query.details)
    except DamagedError as error:
        if not query.skip_damaged:
            raise
        session.add_owner(error)
        get.log_skipped(error)
        return None


def _info(session: Session, snapshot: Snapshot, thread: Thread, details: bool) -> ThreadInfo:
    expires = session.options.retention.expires(thread)
    names: tuple[str, ...] = ()
    latest = get.NO_ROOT
    if details:
        found = namespaces.of_thread(snapshot.reader, thread)
        names = tuple(name for name, _ in found)
    if details or thread.state == states.UNSETTLED:
        latest = get.latest_root(session, snapshot, thread)
    return ThreadInfo(
        thread_id=thread.id,
        created=to_datetime(thread.created),
        updated=to_datetime(thread.updated),
        expires=None if expires is None else to_datetime(expires),
        namespaces=names,
        checkpoints=thread.checkpoints,
        writes=thread.writes,
        bytes=thread.total_size,
        step=latest.metadata.get("step") if details else None,
        source=latest.metadata.get("source") if details else None,
        state=run_states.name(thread.state, latest.run),
        next=latest.run.next if details and latest.run is not None else (),
    )


def without_checkpoints(session: Session) -> list[str]:
    """Return the ids of threads that have only pending writes."""
    with session.snapshot() as snapshot:
        return [thread.id for thread in snapshot.threads() if not thread.checkpoints]


def early_writes(session: Session, thread_id: str) -> list[tuple[str, str | None]]:
    """Return namespace and id of each checkpoint that is not stored, but has pending writes.

    An id that its key has truncated is None.
    """
    with session.snapshot() as snapshot:
        thread = snapshot.thread(thread_id)
        if thread is None:
            return []
        reader = snapshot.reader
        return [
            (name, checkpoint_id)
            for name, namespace in namespaces.of_thread(reader, thread)
            for checkpoint_id in engine_writes.checkpoint_ids(reader, namespace)
            if checkpoint_id is None or not checkpoints.is_stored(reader, namespace, checkpoint_id)
        ]


def to_datetime(milliseconds: int) -> datetime:
    """Convert milliseconds since the epoch to a datetime, at most the latest datetime."""
    return datetime.fromtimestamp(min(milliseconds, MAX_TIME) / 1000, timezone.utc)
