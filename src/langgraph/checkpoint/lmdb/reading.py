"""The protocol's reading methods. No transaction outlives a call, nor a step of an iterator."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from langgraph.checkpoint.base import CheckpointTuple

from langgraph.checkpoint.lmdb import configs
from langgraph.checkpoint.lmdb.codec import faults
from langgraph.checkpoint.lmdb.codec.layouts import ChannelKey
from langgraph.checkpoint.lmdb.configs import Where
from langgraph.checkpoint.lmdb.core import View
from langgraph.checkpoint.lmdb.errors import LmdbSaverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite

    from langgraph.checkpoint.lmdb.core import SaverCore
    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
    from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.engine.values import StoredValue

    Matches: TypeAlias = Callable[[Mapping[str, Any]], bool]


class TooLargeError(Exception):
    """Reading would hold the caller up for longer than it allows."""


@dataclass(slots=True)
class _Found:
    """A checkpoint within a snapshot."""

    snapshot: Snapshot
    thread: Thread
    namespace: int
    record: CheckpointRecord


def _find(core: SaverCore, snapshot: Snapshot, where: Where) -> _Found | None:
    """The checkpoint that a config leads to: the one it names, or else the latest."""
    thread = snapshot.thread(where.thread_id)
    namespace = None if thread is None else snapshot.namespace(thread, where.checkpoint_ns)
    if thread is None or namespace is None:
        return None
    checkpoint_id = where.checkpoint_id
    if checkpoint_id is None:
        checkpoint_id = snapshot.latest_before(thread.number, namespace, None)
    if checkpoint_id is None:
        return None
    view = core.views.get(where._replace(checkpoint_id=checkpoint_id))
    if view is not None and view.record is not None and view.place == thread.place:
        return _Found(snapshot, thread, namespace, view.record)
    record = snapshot.checkpoint(thread.number, namespace, checkpoint_id)
    return None if record is None else _Found(snapshot, thread, namespace, record)


def get_tuple(
    core: SaverCore,
    where: Where,
    *,
    matches: Matches | None = None,
    budget: int | None = None,
) -> CheckpointTuple | None:
    """The checkpoint that a config leads to.

    Args:
        matches: Whether metadata is such as is looked for; None is returned for others.
        budget: Bytes of values that may be decoded.

    Raises:
        TooLargeError: There are more.
    """
    try:
        return _get_tuple(core, where, matches, budget)
    except LmdbSaverError as error:
        raise faults.locate(error, **where._asdict())  # noqa: B904


def _get_tuple(
    core: SaverCore, where: Where, matches: Matches | None, budget: int | None
) -> CheckpointTuple | None:
    codec = core.codec
    with core.store.snapshot() as snapshot:
        found = _find(core, snapshot, where)
        if found is None:
            return None
        record = found.record
        where = Where(where.thread_id, where.checkpoint_ns, record.id)
        metadata = codec.load(record.metadata, snapshot)
        if matches is not None and not matches(metadata):
            return None
        writes = snapshot.writes(found.thread.number, found.namespace, record.id)
        if budget is not None:
            _check_budget(core, where, found, [write.value for _, write in writes], budget)
        body = codec.load(record.body, snapshot)
        place = found.thread.place
        values = {
            channel: codec.fetch(
                ChannelKey(where.thread_id, where.checkpoint_ns, channel), stored, place, snapshot
            )
            for channel, stored in record.values.items()
        }
        pending = [(t, w.channel, codec.payload(w.value, snapshot)) for t, w in writes]
    core.views.put(where, View(place, record))
    channel = ""
    try:
        body["id"] = record.id
        body["channel_values"] = channel_values = {}
        body["channel_versions"] = dict(record.versions)
        for channel, make in values.items():
            channel_values[channel] = make()
    except LmdbSaverError as error:
        raise faults.locate(error, channel=channel, **where._asdict())  # noqa: B904
    return CheckpointTuple(
        configs.config(where),
        body,
        metadata,
        configs.config(where._replace(checkpoint_id=record.parent)) if record.parent else None,
        [_loaded(core, where, task_id, channel, payload) for task_id, channel, payload in pending],
    )


def _loaded(
    core: SaverCore, where: Where, task_id: str, channel: str, payload: tuple[str, bytes]
) -> PendingWrite:
    try:
        return task_id, channel, faults.loads(core.serde, *payload)
    except LmdbSaverError as error:
        raise faults.locate(error, channel=channel, **where._asdict())  # noqa: B904


def _check_budget(
    core: SaverCore, where: Where, found: _Found, pending: Sequence[StoredValue], budget: int
) -> None:
    budget -= sum([value.size for value in pending])
    for channel, stored in found.record.values.items():
        key = ChannelKey(where.thread_id, where.checkpoint_ns, channel)
        budget -= core.codec.effort(key, stored, found.thread.place)
    if budget < 0:
        raise TooLargeError


def metadata_filter(wanted: Mapping[str, Any] | None) -> Matches | None:
    """Whether metadata has all that is wanted, as equal values; None if nothing is."""
    if not wanted:
        return None
    items = list(wanted.items())
    return lambda metadata: all(metadata.get(key) == value for key, value in items)


def places(
    core: SaverCore,
    config: RunnableConfig | None,
    before: RunnableConfig | None,
    wanted: Mapping[str, Any] | None,
) -> Iterator[Where]:
    """Where each checkpoint is that a config covers, by descending id.

    Args:
        wanted: What its metadata must have. A run leads to its checkpoints by an index; all else
            is for the caller to compare.
    """
    bound = None if before is None else configs.checkpoint_id(before)
    run_id = (wanted or {}).get("run_id")
    if isinstance(run_id, str):
        yield from _of_run(core, config, bound, run_id)
        return
    with core.store.snapshot() as snapshot:
        if config is None:
            found = [thread for thread in snapshot.threads() if thread.checkpoints]
            only = exact = None
        else:
            only = configs.namespace_filter(config)
            thread_id, _, exact = configs.where(config)
            thread = snapshot.thread(thread_id)
            found = [] if thread is None else [thread]
        namespaces = [
            (thread.id, name)
            for thread in found
            for name, _ in snapshot.namespaces(thread)
            if only is None or name == only
        ]
    if exact is not None:
        if bound is None or exact < bound:
            yield from (Where(thread_id, name, exact) for thread_id, name in namespaces)
        return
    walks = [_walk(core, thread_id, name, bound) for thread_id, name in namespaces]
    if len(walks) == 1:
        yield from walks[0]
    else:
        yield from heapq.merge(*walks, key=lambda where: where.checkpoint_id or "", reverse=True)


def _of_run(
    core: SaverCore, config: RunnableConfig | None, bound: str | None, run_id: str
) -> Iterator[Where]:
    with core.store.snapshot() as snapshot:
        found = [Where(*place) for place in snapshot.of_run(run_id)]
    if config is not None:
        thread_id, _, exact = configs.where(config)
        only = configs.namespace_filter(config)
        found = [
            where
            for where in found
            if where.thread_id == thread_id
            and only in (None, where.checkpoint_ns)
            and exact in (None, where.checkpoint_id)
        ]
    found.sort(key=lambda where: where.checkpoint_id or "", reverse=True)
    yield from (w for w in found if bound is None or (w.checkpoint_id or "") < bound)


def _walk(
    core: SaverCore, thread_id: str, checkpoint_ns: str, before: str | None
) -> Iterator[Where]:
    while True:
        with core.store.snapshot() as snapshot:
            thread = snapshot.thread(thread_id)
            namespace = None if thread is None else snapshot.namespace(thread, checkpoint_ns)
            if thread is None or namespace is None:
                return
            before = snapshot.latest_before(thread.number, namespace, before)
        if before is None:
            return
        yield Where(thread_id, checkpoint_ns, before)


def delta_channel_history(
    core: SaverCore, config: RunnableConfig, channels: Sequence[str]
) -> dict[str, DeltaChannelHistory]:
    """What channels without a stored value are rebuilt from, along the parents of a checkpoint."""
    where = configs.where(config)
    result: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
    if not channels:
        return result
    with core.store.snapshot() as snapshot:
        found = _find(core, snapshot, where)
        if found is None:
            return result
        histories = snapshot.history(
            found.thread.number, found.namespace, found.record, list(result)
        )
        payloads = {
            channel: (
                [(task_id, core.codec.payload(v, snapshot)) for task_id, v in history.writes],
                None if history.seed is None else core.codec.payload(history.seed, snapshot),
            )
            for channel, history in histories.items()
        }
    for channel, (writes, seed) in payloads.items():
        entry = result[channel]
        entry["writes"] = [_loaded(core, where, task, channel, value) for task, value in writes]
        if seed is not None:
            entry["seed"] = _loaded(core, where, "", channel, seed)[2]
    return result
