"""What there is: the line of a checkpoint, its children, branches, threads, and the whole store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine.threads import LATEST
from langgraph.checkpoint.lmdb.errors import DamagedError, ThreadNotFoundError, UsageError
from langgraph.checkpoint.lmdb.operations import configs, get
from langgraph.checkpoint.lmdb.operations.retention import instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.runnables import RunnableConfig

    from langgraph.checkpoint.lmdb.engine.branches import Branch
    from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.operations.configs import Where
    from langgraph.checkpoint.lmdb.operations.session import SaverCore

_END_OF_TIME = 1 << 62


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """What a thread is made of."""

    thread_id: str
    created: datetime
    updated: datetime
    """When it was active last."""
    expires: datetime | None
    """When it is past its time to live; None: never."""
    namespaces: tuple[str, ...]
    checkpoints: int
    writes: int
    """Pending writes."""
    bytes: int
    """Of its records and values, compressed, without what it shares with the thread it was copied
    from."""
    step: int | None
    """Of the latest checkpoint of the root namespace, as its metadata say."""
    source: str | None
    """The same: what made it."""


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What a store is made of."""

    threads: int
    """With checkpoints; expired ones count until they are swept."""
    checkpoints: int
    writes: int
    """Pending writes."""
    bytes: int
    """Of records and values, compressed."""
    file_bytes: int
    """What the store takes on disk: also indexes, and room for what is to come."""


def stats(core: SaverCore) -> StoreStats:
    """The size of the store."""
    with core.store.snapshot() as snapshot:
        counts = snapshot.counts()
    return StoreStats(*counts, core.store.file_bytes())


def lineage(core: SaverCore, config: RunnableConfig, skip_damaged: bool = False) -> Iterator[Where]:
    """Where a checkpoint is, its parent, and so on; a loop in the chain ends it.

    Args:
        skip_damaged: End it at a checkpoint that cannot be read, too.
    """
    where = configs.where(config)
    seen: set[str] = set()
    while True:
        try:
            found = get.locate(core, where)
        except DamagedError as error:
            if not skip_damaged:
                raise
            get.skip(error)
            return
        if found is None or found.id in seen:
            return
        seen.add(found.id)
        yield where._replace(checkpoint_id=found.id)
        if found.parent is None:
            return
        where = where._replace(checkpoint_id=found.parent)


def children(core: SaverCore, config: RunnableConfig) -> list[Where]:
    """Where the checkpoints are whose parent is the one that a config leads to, newest first."""
    where = configs.where(config)
    found = get.locate(core, where)
    if found is None:
        return []
    try:
        with core.store.snapshot() as snapshot:
            thread = snapshot.thread(where.thread_id)
            namespace = None if thread is None else snapshot.namespace(thread, where.checkpoint_ns)
            if thread is None or namespace is None:
                return []
            ids = snapshot.children(thread.number, namespace, found.id)
    except DamagedError as error:
        raise core.named(error)  # noqa: B904
    return [where._replace(checkpoint_id=checkpoint_id) for checkpoint_id in reversed(ids)]


def branches(core: SaverCore, thread_id: object, checkpoint_ns: str) -> list[Branch]:
    """The branches of a namespace, newest first."""
    with core.store.snapshot() as snapshot:
        thread = snapshot.thread(str(thread_id))
        namespace = None if thread is None else snapshot.namespace(thread, checkpoint_ns)
        if thread is None or namespace is None:
            return []
        return snapshot.branches(thread.number, namespace)


def threads(
    core: SaverCore,
    prefix: str | None,
    updated_after: datetime | float | None,
    updated_before: datetime | float | None,
    limit: int | None,
    after: ThreadInfo | str | None,
    skip_damaged: bool,
) -> list[ThreadInfo]:
    """Threads, the one that was active last first."""
    if limit is not None and (type(limit) is not int or limit < 0):
        raise UsageError(f"limit={limit!r}", advice="Use a whole number of threads, or None.")
    since = 0 if updated_after is None else instant(updated_after) + 1
    before = _END_OF_TIME if updated_before is None else instant(updated_before)
    found: list[ThreadInfo] = []
    if limit == 0:
        return found
    try:
        with core.store.snapshot() as snapshot:
            last = None if after is None else _position(snapshot, after)
            if last is not None:
                before = min(before, 1 - last[0])
            on_damage = get.skip if skip_damaged else None
            for thread in snapshot.newest_threads(prefix or "", since, before, on_damage):
                if last is None or (-thread.updated, thread.id) > last:
                    try:
                        found.append(_info(core, snapshot, thread))
                    except DamagedError as error:
                        if not skip_damaged:
                            raise
                        get.skip(core.named(error))
                    if len(found) == limit:
                        break
    except DamagedError as error:
        raise core.named(error)  # noqa: B904
    return found


def _position(snapshot: Snapshot, after: ThreadInfo | str) -> tuple[int, str]:
    """Where a thread stands in the order of the listing."""
    if isinstance(after, ThreadInfo):
        return -round(after.updated.timestamp() * 1000), after.thread_id
    thread = snapshot.thread(str(after))
    if thread is None:
        raise ThreadNotFoundError(
            "the thread to go on after is not there any more",
            thread_id=str(after),
            advice="Pass what threads() gave last as a whole, not its id alone.",
        )
    return -thread.updated, thread.id


def _info(core: SaverCore, snapshot: Snapshot, thread: Thread) -> ThreadInfo:
    expires = core.store.settings.retention.expires(thread)
    metadata = get.latest_metadata(core, snapshot, thread)
    return ThreadInfo(
        thread.id,
        _moment(thread.created),
        _moment(thread.updated),
        None if expires is None else _moment(expires),
        tuple(name for name, _ in snapshot.namespaces(thread)),
        thread.checkpoints,
        thread.writes,
        thread.size,
        metadata.get("step"),
        metadata.get("source"),
    )


def _moment(milliseconds: int) -> datetime:
    """A moment as a date; what is later than any date is the latest there is."""
    return datetime.fromtimestamp(min(milliseconds, LATEST) / 1000, timezone.utc)
