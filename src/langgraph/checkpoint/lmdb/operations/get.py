"""The protocol's reading methods. No transaction outlives a call, nor a step of an iterator."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import CheckpointTuple

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.codec import serializer
from langgraph.checkpoint.lmdb.codec.value_cache import ChannelKey
from langgraph.checkpoint.lmdb.engine import channel_history, checkpoints, threads
from langgraph.checkpoint.lmdb.engine import writes as pending_writes
from langgraph.checkpoint.lmdb.errors import DamagedError, LmdbSaverError
from langgraph.checkpoint.lmdb.operations import configs
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
from langgraph.checkpoint.lmdb.operations.session import ParentState, simple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import DeltaChannelHistory

    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
    from langgraph.checkpoint.lmdb.engine.chunks import StoredValue
    from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
    from langgraph.checkpoint.lmdb.operations.metadata_index import Matches
    from langgraph.checkpoint.lmdb.operations.session import Operation, Session


class BudgetExceededError(Exception):
    """Reading would hold the caller up for longer than it allows."""


@dataclass(slots=True)
class _Found:
    """A checkpoint within a snapshot."""

    thread: Thread
    namespace: NamespaceRef
    record: CheckpointRecord


def _find(session: Session, snapshot: Snapshot, ref: CheckpointRef) -> _Found | None:
    """The checkpoint that a config leads to: the one it names, or else the latest."""
    thread = snapshot.thread(ref.thread_id)
    if thread is None:
        return None
    namespace = threads.find_namespace(snapshot.reader, thread, ref.checkpoint_ns)
    if namespace is None:
        return None
    checkpoint_id = ref.checkpoint_id
    if checkpoint_id is None:
        checkpoint_id = checkpoints.latest_before(snapshot.reader, namespace)
    if checkpoint_id is None:
        return None
    parent_state = session.parent_cache.get(ref._replace(checkpoint_id=checkpoint_id))
    if (
        parent_state is not None
        and parent_state.record is not None
        and parent_state.thread_version == thread.thread_version
    ):
        return _Found(thread, namespace, parent_state.record)
    record = checkpoints.read(snapshot.reader, namespace, checkpoint_id)
    return None if record is None else _Found(thread, namespace, record)


def get_tuple(
    session: Session,
    ref: CheckpointRef,
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
        return _get_tuple(session, ref, matches, budget)
    except LmdbSaverError as error:
        if ref.checkpoint_id is None and isinstance(error, DamagedError):
            session.add_location(error)
        raise serializer.add_location(error, **ref._asdict())  # noqa: B904


def get_or_skip(
    session: Session, ref: CheckpointRef, *, matches: Matches | None = None
) -> CheckpointTuple | None:
    """As `get_tuple`, without what is damaged."""
    try:
        return get_tuple(session, ref, matches=matches)
    except DamagedError as error:
        log_skipped(error)
        return None


def _get_tuple(
    session: Session, ref: CheckpointRef, matches: Matches | None, budget: int | None
) -> CheckpointTuple | None:
    codec = session.codec
    with session.snapshot() as snapshot:
        found = _find(session, snapshot, ref)
        if found is None:
            return None
        record = found.record
        ref = CheckpointRef(ref.thread_id, ref.checkpoint_ns, record.id)
        metadata = codec.load_map(record.metadata, snapshot.reader, "metadata")
        if matches is not None and not matches(metadata):
            return None
        writes = pending_writes.of_checkpoint(snapshot.reader, found.namespace, record.id)
        if budget is not None:
            _check_budget(session, ref, found, [write.value for _, write in writes], budget)
        body = codec.load_map(record.body, snapshot.reader, "checkpoint")
        place = found.thread.thread_version
        values = {
            channel: codec.fetch(
                ChannelKey(ref.thread_id, ref.checkpoint_ns, channel),
                stored,
                place,
                snapshot.reader,
            )
            for channel, stored in record.values.items()
        }
        pending = [(t, w.channel, codec.fetch_once(w.value, snapshot.reader)) for t, w in writes]
    session.parent_cache.put(ref, ParentState(place, record))
    body["id"] = record.id
    body["channel_values"] = {
        channel: _decode_channel(make, ref, channel) for channel, make in values.items()
    }
    body["channel_versions"] = dict(record.versions)
    return CheckpointTuple(
        configs.to_config(ref),
        body,
        metadata,
        configs.to_config(ref._replace(checkpoint_id=record.parent)) if record.parent else None,
        [
            (task_id, channel, _decode_channel(make, ref, channel))
            for task_id, channel, make in pending
        ],
    )


def _decode_channel(make: Callable[[], Any], ref: CheckpointRef, channel: str) -> Any:
    try:
        return make()
    except LmdbSaverError as error:
        raise serializer.add_location(error, channel=channel, **ref._asdict())  # noqa: B904


def _check_budget(
    session: Session, ref: CheckpointRef, found: _Found, pending: Sequence[StoredValue], budget: int
) -> None:
    budget -= sum([value.size for value in pending])
    for channel, stored in found.record.values.items():
        key = ChannelKey(ref.thread_id, ref.checkpoint_ns, channel)
        budget -= session.codec.decode_cost(key, stored, found.thread.thread_version)
    if budget < 0:
        raise BudgetExceededError


def find_record(session: Session, ref: CheckpointRef) -> CheckpointRecord | None:
    """The record of the checkpoint that a config leads to."""
    try:
        with session.snapshot() as snapshot:
            found = _find(session, snapshot, ref)
    except LmdbSaverError as error:
        raise serializer.add_location(error, **ref._asdict())  # noqa: B904
    return None if found is None else found.record


def latest_metadata(session: Session, snapshot: Snapshot, thread: Thread) -> dict[str, Any]:
    """The metadata of a thread's latest checkpoint in the root namespace; empty if it has none."""
    ref = CheckpointRef(thread.id, "", None)
    try:
        checkpoint_id = checkpoints.latest_before(snapshot.reader, thread.root)
        if checkpoint_id is None:
            return {}
        record = checkpoints.read(snapshot.reader, thread.root, checkpoint_id)
        metadata = None if record is None else session.codec.load(record.metadata, snapshot.reader)
    except LmdbSaverError as error:
        raise serializer.add_location(error, **ref._asdict())  # noqa: B904
    return metadata if isinstance(metadata, dict) else {}


_REFRESHES = 100


def refresh(session: Session, thread_id: str) -> Operation[None, None] | None:
    """Count a read as activity, where that is wanted and a hundredth of the thread's time to live
    has passed since the last one."""
    if not session.options.retention.refresh_on_read:
        return None
    with session.snapshot() as snapshot:
        thread = snapshot.thread(thread_id)
    expires = None if thread is None else session.options.retention.expires(thread)
    if thread is None or expires is None:
        return None
    age = session.options.now() - thread.updated
    if age * _REFRESHES < expires - thread.updated:
        return None
    return simple(lambda writer: threads.record_read(writer, thread_id, session.options))


def log_skipped(error: DamagedError) -> None:
    """Go on without what is damaged, and say so in the log."""
    _LOG.warning("left out: %s", error)


_LOG = logging.getLogger(__name__)


def delta_channel_history(
    session: Session, config: RunnableConfig, channels: Sequence[str]
) -> dict[str, DeltaChannelHistory]:
    """What channels without a stored value are rebuilt from, along the parents of a checkpoint."""
    ref = configs.parse_config(config)
    names = [
        validation.channel(name, "each of channels")
        for name in validation.sequence(channels, "channels")
    ]
    try:
        return _delta_channel_history(session, ref, names)
    except DamagedError as error:
        raise serializer.add_location(session.add_location(error), **ref._asdict())  # noqa: B904


def _delta_channel_history(
    session: Session, ref: CheckpointRef, channels: Sequence[str]
) -> dict[str, DeltaChannelHistory]:
    codec = session.codec
    result: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
    if not channels:
        return result
    with session.snapshot() as snapshot:
        found = _find(session, snapshot, ref)
        if found is None:
            return result
        histories = channel_history.history(
            snapshot.reader, found.namespace, found.record, list(result)
        )
        place = found.thread.thread_version
        writes: list[tuple[str, str, Callable[[], Any]]] = []
        seeds: dict[str, Callable[[], Any]] = {}
        for channel, history in histories.items():
            for task_id, value in history.writes:
                writes.append((task_id, channel, codec.fetch_write(value, place, snapshot.reader)))
            if history.seed is not None:
                key = ChannelKey(ref.thread_id, ref.checkpoint_ns, channel)
                seeds[channel] = codec.fetch(key, history.seed, place, snapshot.reader)
    for task_id, channel, make in writes:
        result[channel]["writes"].append((task_id, channel, _decode_channel(make, ref, channel)))
    for channel, make in seeds.items():
        result[channel]["seed"] = _decode_channel(make, ref, channel)
    return result
