"""The protocol's reading methods. No transaction outlives a call, nor a step of an iterator."""

from __future__ import annotations

import heapq
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from langgraph.checkpoint.base import CheckpointTuple

from langgraph.checkpoint.lmdb.codec import serializer
from langgraph.checkpoint.lmdb.codec.value_cache import ChannelKey
from langgraph.checkpoint.lmdb.engine.threads import ROOT
from langgraph.checkpoint.lmdb.errors import DamagedError, LmdbSaverError
from langgraph.checkpoint.lmdb.operations import configs, metadata_index
from langgraph.checkpoint.lmdb.operations.configs import Where
from langgraph.checkpoint.lmdb.operations.session import View, simple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import DeltaChannelHistory

    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
    from langgraph.checkpoint.lmdb.engine.chunks import StoredValue
    from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.operations.session import Operation, SaverCore

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
        if where.checkpoint_id is None and isinstance(error, DamagedError):
            core.named(error)
        raise serializer.locate(error, **where._asdict())  # noqa: B904


def get_or_skip(
    core: SaverCore, where: Where, *, matches: Matches | None = None
) -> CheckpointTuple | None:
    """As `get_tuple`, without what is damaged."""
    try:
        return get_tuple(core, where, matches=matches)
    except DamagedError as error:
        skip(error)
        return None


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
        metadata = codec.load_map(record.metadata, snapshot)
        if matches is not None and not matches(metadata):
            return None
        writes = snapshot.writes(found.thread.number, found.namespace, record.id)
        if budget is not None:
            _check_budget(core, where, found, [write.value for _, write in writes], budget)
        body = codec.load_map(record.body, snapshot)
        place = found.thread.place
        values = {
            channel: codec.fetch(
                ChannelKey(where.thread_id, where.checkpoint_ns, channel), stored, place, snapshot
            )
            for channel, stored in record.values.items()
        }
        pending = [(t, w.channel, codec.fetch_once(w.value, snapshot)) for t, w in writes]
    core.views.put(where, View(place, record))
    body["id"] = record.id
    body["channel_values"] = {
        channel: _made(make, where, channel) for channel, make in values.items()
    }
    body["channel_versions"] = dict(record.versions)
    return CheckpointTuple(
        configs.config(where),
        body,
        metadata,
        configs.config(where._replace(checkpoint_id=record.parent)) if record.parent else None,
        [(task_id, channel, _made(make, where, channel)) for task_id, channel, make in pending],
    )


def _made(make: Callable[[], Any], where: Where, channel: str) -> Any:
    try:
        return make()
    except LmdbSaverError as error:
        raise serializer.locate(error, channel=channel, **where._asdict())  # noqa: B904


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


def locate(core: SaverCore, where: Where) -> CheckpointRecord | None:
    """The record of the checkpoint that a config leads to."""
    try:
        with core.store.snapshot() as snapshot:
            found = _find(core, snapshot, where)
    except LmdbSaverError as error:
        raise serializer.locate(error, **where._asdict())  # noqa: B904
    return None if found is None else found.record


def latest_metadata(core: SaverCore, snapshot: Snapshot, thread: Thread) -> dict[str, Any]:
    """The metadata of a thread's latest checkpoint in the root namespace; empty if it has none."""
    where = Where(thread.id, "", None)
    try:
        checkpoint_id = snapshot.latest_before(thread.number, ROOT, None)
        if checkpoint_id is None:
            return {}
        record = snapshot.checkpoint(thread.number, ROOT, checkpoint_id)
        metadata = None if record is None else core.codec.load(record.metadata, snapshot)
    except LmdbSaverError as error:
        raise serializer.locate(error, **where._asdict())  # noqa: B904
    return metadata if isinstance(metadata, dict) else {}


_REFRESHES = 100


def refresh(core: SaverCore, thread_id: str) -> Operation[None, None] | None:
    """Count a read as activity, where that is wanted and a hundredth of the thread's time to live
    has passed since the last one."""
    if not core.refresh_on_read:
        return None
    with core.store.snapshot() as snapshot:
        thread = snapshot.thread(thread_id)
    expires = None if thread is None else core.store.settings.retention.expires(thread)
    if thread is None or expires is None:
        return None
    age = core.store.settings.now() - thread.updated
    if age * _REFRESHES < expires - thread.updated:
        return None
    return simple(core.housekeeping.touch(thread_id))


def skip(error: DamagedError) -> None:
    """Go on without what is damaged, and say so in the log."""
    _LOG.warning("left out: %s", error)


_LOG = logging.getLogger(__name__)


def places(
    core: SaverCore,
    config: RunnableConfig | None,
    before: RunnableConfig | None,
    wanted: Mapping[str, Any] | None,
    skip_damaged: bool = False,
) -> Iterator[Where]:
    """Where each checkpoint is that a config covers, by descending id.

    Args:
        wanted: What its metadata must have. Indexes lead to places that may have it; the caller
            compares.
        skip_damaged: Leave out what is damaged.
    """
    try:
        yield from _places(core, config, before, wanted, skip_damaged)
    except DamagedError as error:
        where = {} if config is None else configs.where(config)._asdict()
        serializer.locate(core.named(error), **where)
        if not skip_damaged:
            raise
        skip(error)


def _places(
    core: SaverCore,
    config: RunnableConfig | None,
    before: RunnableConfig | None,
    wanted: Mapping[str, Any] | None,
    skip_damaged: bool,
) -> Iterator[Where]:
    bound = None if before is None else configs.checkpoint_id(before)
    leading = metadata_index.of_checkpoints(wanted or {}, anywhere=config is None)
    if skip_damaged:  # an index may lead to damage in the middle of others
        leading = None
    if leading is not None:
        yield from _by_label(core, config, bound, leading)
        return
    with core.store.snapshot() as snapshot:
        if config is None:
            found = _threads_with(snapshot, wanted or {}, skip_damaged)
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
    yield from _merged([_walk(core, thread_id, name, bound) for thread_id, name in namespaces])


def _merged(walks: Sequence[Iterator[Where]]) -> Iterator[Where]:
    """Several walks as one, by descending id."""
    if len(walks) == 1:
        return walks[0]
    return heapq.merge(*walks, key=lambda where: where.checkpoint_id or "", reverse=True)


def _threads_with(
    snapshot: Snapshot, wanted: Mapping[str, Any], skip_damaged: bool
) -> list[Thread]:
    """The threads that may have checkpoints with such metadata."""
    if skip_damaged:
        return [thread for thread in snapshot.threads(skip) if thread.checkpoints]
    leading = metadata_index.of_threads(wanted)
    if leading is None:
        return [thread for thread in snapshot.threads() if thread.checkpoints]
    found = (thread for label in leading for thread in snapshot.threads_labelled(label))
    return list({thread.number: thread for thread in found}.values())


def _by_label(
    core: SaverCore, config: RunnableConfig | None, bound: str | None, leading: Sequence[bytes]
) -> Iterator[Where]:
    found = _merged([_labelled(core, label, bound) for label in leading])
    if config is None:
        return found
    thread_id, _, exact = configs.where(config)
    only = configs.namespace_filter(config)
    return (
        where
        for where in found
        if where.thread_id == thread_id
        and only in (None, where.checkpoint_ns)
        and exact in (None, where.checkpoint_id)
    )


def _labelled(core: SaverCore, label: bytes, bound: str | None) -> Iterator[Where]:
    with core.store.snapshot() as snapshot:
        at = None if bound is None else snapshot.bound(label, bound)
    while True:
        with core.store.snapshot() as snapshot:
            found, at = snapshot.labelled(label, at, _LABELLED_AT_ONCE)
        for place in found:
            if bound is None or place[2] < bound:
                yield Where(*place)
        if at is None:
            return


_LABELLED_AT_ONCE = 64


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
    try:
        return _delta_channel_history(core, where, channels)
    except DamagedError as error:
        raise serializer.locate(core.named(error), **where._asdict())  # noqa: B904


def _delta_channel_history(
    core: SaverCore, where: Where, channels: Sequence[str]
) -> dict[str, DeltaChannelHistory]:
    codec = core.codec
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
        place = found.thread.place
        writes: list[tuple[str, str, Callable[[], Any]]] = []
        seeds: dict[str, Callable[[], Any]] = {}
        for channel, history in histories.items():
            for task_id, value in history.writes:
                writes.append((task_id, channel, codec.fetch_write(value, place, snapshot)))
            if history.seed is not None:
                key = ChannelKey(where.thread_id, where.checkpoint_ns, channel)
                seeds[channel] = codec.fetch(key, history.seed, place, snapshot)
    for task_id, channel, make in writes:
        result[channel]["writes"].append((task_id, channel, _made(make, where, channel)))
    for channel, make in seeds.items():
        result[channel]["seed"] = _made(make, where, channel)
    return result
