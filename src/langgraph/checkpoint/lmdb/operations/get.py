"""The operations that read one checkpoint. No transaction outlives a call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, DeltaChannelHistory

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.codec import gc_pause
from langgraph.checkpoint.lmdb.codec.value_cache import ChannelKey
from langgraph.checkpoint.lmdb.engine import channel_history, checkpoints, namespaces, threads
from langgraph.checkpoint.lmdb.engine import writes as write_records
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
from langgraph.checkpoint.lmdb.engine.chunks import StoredValue, ThreadVersion
from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
from langgraph.checkpoint.lmdb.engine.states import is_indexed
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
from langgraph.checkpoint.lmdb.models import TaskWrite
from langgraph.checkpoint.lmdb.operations import configs, run_states
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
from langgraph.checkpoint.lmdb.operations.location import located
from langgraph.checkpoint.lmdb.operations.metadata_index import Matches
from langgraph.checkpoint.lmdb.operations.parent_cache import ParentState
from langgraph.checkpoint.lmdb.operations.session import Operation, Session, simple
from langgraph.checkpoint.lmdb.run_state import RunState, is_news, needs_value

_REFRESHES_PER_TTL = 100
"""Number of times that reads may postpone the expiry of a thread during its TTL."""
_logger = logging.getLogger(__name__)


class BudgetExceededError(Exception):
    """A read that would block the caller for longer than it allows."""


@dataclass(slots=True)
class Found:
    """A checkpoint within a snapshot."""

    thread: Thread
    namespace: NamespaceRef
    record: CheckpointRecord


def get_tuple(
    session: Session,
    ref: CheckpointRef,
    *,
    matches: Matches | None = None,
    values: bool = True,
    budget: int | None = None,
) -> CheckpointTuple | None:
    """Return the checkpoint that a config names, or the latest of its namespace.

    Args:
        session: The session.
        ref: The checkpoint.
        matches: Function that returns True for metadata of a wanted checkpoint. None: all match.
        values: False: decode only the values that the state of a run depends on. Others are None.
        budget: Bytes of values that may be decoded.

    Raises:
        BudgetExceededError: The values are larger than the budget.
    """
    decode = fetch(session, ref, matches=matches, values=values, budget=budget)
    return None if decode is None else decode()


def fetch(
    session: Session,
    ref: CheckpointRef,
    *,
    matches: Matches | None = None,
    values: bool = True,
    budget: int | None = None,
) -> Callable[[], CheckpointTuple] | None:
    """Read what `get_tuple` returns; return the function that decodes it, after the snapshot."""
    with session.located(ref) as location:
        fetched = session.view(
            partial(_fetch, session, ref, location, matches=matches, values=values, budget=budget)
        )
    if fetched is None:
        return None
    session.parent_cache.put(fetched.ref, ParentState(fetched.thread_version, fetched.record))
    return partial(_decode, session, fetched)


@dataclass(slots=True)
class _Fetched:
    """A checkpoint as `fetch` read it."""

    ref: CheckpointRef
    record: CheckpointRecord
    thread_version: ThreadVersion
    metadata: Any
    body: Any
    channels: list[tuple[str, Callable[[], Any]]]
    """Channels, and the functions that decode their values."""
    writes: list[tuple[str, str, Callable[[], Any]]]
    """Task id, channel and decoder of each pending write."""


def _fetch(
    session: Session,
    ref: CheckpointRef,
    location: dict[str, Any],
    snapshot: Snapshot,
    *,
    matches: Matches | None,
    values: bool,
    budget: int | None,
) -> _Fetched | None:
    """Read a checkpoint from a snapshot."""
    codec, reader = session.codec, snapshot.reader
    found = find(session, snapshot, ref)
    if found is None:
        return None
    record, thread_version = found.record, found.thread.thread_version
    ref = CheckpointRef(ref.thread_id, ref.checkpoint_ns, record.id)
    location["checkpoint_id"] = record.id
    with gc_pause.paused_for(found.thread.writes + len(record.values)):
        metadata = codec.load_map(record.metadata, reader, "metadata")
        if matches is not None and not matches(metadata):
            return None
        stored_values = {
            channel: stored
            for channel, stored in record.values.items()
            if values or needs_value(channel)
        }
        stored_writes = [
            (task_id, write, values or is_news(task_id, write.channel))
            for task_id, write in write_records.of_checkpoint(reader, found.namespace, record.id)
        ]
        if budget is not None:
            sizes = [write.value.size for _, write, is_wanted in stored_writes if is_wanted]
            _check_budget(session, ref, thread_version, stored_values, budget - sum(sizes))
        body, *decoders = reader.gather(
            [
                partial(codec.load_map, record.body, reader, "checkpoint"),
                *[
                    partial(
                        codec.fetch,
                        ChannelKey(ref.thread_id, ref.checkpoint_ns, channel),
                        stored,
                        thread_version,
                        reader,
                    )
                    for channel, stored in stored_values.items()
                ],
                *[
                    partial(codec.fetch_once, write.value, reader) if is_wanted else _nothing
                    for _, write, is_wanted in stored_writes
                ],
            ]
        )
        left = iter(decoders)
        return _Fetched(
            ref,
            record,
            thread_version,
            metadata,
            body,
            [*zip(stored_values, left, strict=False)],
            [
                (task_id, write.channel, decode)
                for (task_id, write, _), decode in zip(stored_writes, left, strict=False)
            ],
        )


def _decode(session: Session, fetched: _Fetched) -> CheckpointTuple:
    ref, record, body = fetched.ref, fetched.record, fetched.body
    channel_values: dict[str, Any] = dict.fromkeys(record.values)
    pending_writes: list[tuple[str, str, Any]] = []
    count = len(fetched.channels) + len(fetched.writes)
    with session.located(ref) as location, gc_pause.paused_for(count):
        for channel, decode_value in fetched.channels:
            location["channel"] = channel
            channel_values[channel] = decode_value()
        for task_id, channel, decode_value in fetched.writes:
            location["channel"] = channel
            pending_writes.append((task_id, channel, decode_value()))
    body["id"] = record.id
    body["channel_values"] = channel_values
    body["channel_versions"] = dict(record.versions)
    return CheckpointTuple(
        configs.to_config(ref),
        body,
        fetched.metadata,
        configs.to_config(ref._replace(checkpoint_id=record.parent)) if record.parent else None,
        pending_writes,
    )


def _check_budget(
    session: Session,
    ref: CheckpointRef,
    thread_version: ThreadVersion,
    values: Mapping[str, StoredValue],
    budget: int,
) -> None:
    for channel, stored in values.items():
        key = ChannelKey(ref.thread_id, ref.checkpoint_ns, channel)
        budget -= session.codec.decode_cost(key, stored, thread_version)
    if budget < 0:
        raise BudgetExceededError


def _nothing() -> Callable[[], None]:
    """Return a decoder in the place of a value that the caller does not want."""
    return lambda: None


def log_skipped(error: DamagedError) -> None:
    """Log a warning about damaged data that the caller omits."""
    _logger.warning("left out: %s", error)


def writes(session: Session, ref: CheckpointRef) -> list[TaskWrite]:
    """Return the pending writes of the checkpoint that a config names, stored or not."""
    codec = session.codec
    with session.located(ref) as location:
        with session.snapshot() as snapshot:
            thread, namespace = _find_namespace(snapshot, ref)
            checkpoint_id = ref.checkpoint_id
            if namespace is not None and checkpoint_id is None:
                checkpoint_id = checkpoints.latest_before(snapshot.reader, namespace)
            if thread is None or namespace is None or checkpoint_id is None:
                return []
            location["checkpoint_id"] = checkpoint_id
            with gc_pause.paused_for(thread.writes):
                found = [
                    (task_id, write, codec.fetch_once(write.value, snapshot.reader))
                    for task_id, write in write_records.of_checkpoint(
                        snapshot.reader, namespace, checkpoint_id
                    )
                ]
        result = []
        with gc_pause.paused_for(len(found)):
            for task_id, write, decode in found:
                location["channel"] = write.channel
                row = TaskWrite(task_id, write.path, write.index, write.channel, decode())
                result.append(row)
    return result


def _find_namespace(
    snapshot: Snapshot, ref: CheckpointRef
) -> tuple[Thread | None, NamespaceRef | None]:
    thread = snapshot.thread(ref.thread_id)
    if thread is None:
        return None, None
    return thread, namespaces.find(snapshot.reader, thread, ref.checkpoint_ns)


def find(session: Session, snapshot: Snapshot, ref: CheckpointRef) -> Found | None:
    """Return the checkpoint that a config names, or the latest of its namespace."""
    thread, namespace = _find_namespace(snapshot, ref)
    if thread is None or namespace is None:
        return None
    checkpoint_id = ref.checkpoint_id
    if checkpoint_id is None:
        checkpoint_id = checkpoints.latest_before(snapshot.reader, namespace)
    if checkpoint_id is None:
        return None
    known = session.parent_cache.get(ref._replace(checkpoint_id=checkpoint_id))
    if known is not None and known.thread_version == thread.thread_version:
        record = known.record
    else:
        record = None
    if record is None:
        record = checkpoints.read(snapshot.reader, namespace, checkpoint_id)
    return None if record is None else Found(thread, namespace, record)


def find_record(session: Session, ref: CheckpointRef) -> CheckpointRecord | None:
    """Return the record of the checkpoint that a config names, or the latest of its namespace."""
    with located(**ref._asdict()), session.snapshot() as snapshot:
        found = find(session, snapshot, ref)
    return None if found is None else found.record


@dataclass(frozen=True, slots=True)
class LatestRoot:
    """The part of a thread's latest root checkpoint that a list of threads shows."""

    metadata: dict[str, Any]
    run: RunState | None
    """State of the run. None: it was not computed, since it is complete, or it is unreadable."""


NO_ROOT: Final = LatestRoot({}, None)


def latest_root(session: Session, snapshot: Snapshot, thread: Thread) -> LatestRoot:
    """Return the metadata of a thread's latest root checkpoint, and the state of the run."""
    codec, reader = session.codec, snapshot.reader
    with located(thread_id=thread.id, checkpoint_ns=""):
        checkpoint_id = checkpoints.latest_before(reader, thread.root)
        record = (
            None if checkpoint_id is None else checkpoints.read(reader, thread.root, checkpoint_id)
        )
        if record is None:
            return NO_ROOT
        metadata = codec.load(record.metadata, reader)
        run = None
        if is_indexed(thread.state):
            writes = write_records.of_checkpoint(reader, thread.root, record.id)
            run = run_states.read(codec, reader, record, writes)
    return LatestRoot(metadata if isinstance(metadata, dict) else {}, run)


def refresh(session: Session, thread_id: str) -> Operation[None, None] | None:
    """Return an operation that counts a read as activity; None if that is not due.

    It is due if the policy says so and a hundredth of the thread's TTL has passed.
    """
    if not session.options.retention.refresh_on_read:
        return None
    with session.snapshot() as snapshot:
        thread = snapshot.thread(thread_id)
    expires = None if thread is None else session.options.retention.expires(thread)
    if thread is None or expires is None:
        return None
    age = session.options.now() - thread.updated
    if age * _REFRESHES_PER_TTL < expires - thread.updated:
        return None
    return simple(
        lambda writer: threads.record_read(writer, thread_id, session.options), thread_id=thread_id
    )


def delta_channel_history(
    session: Session, config: RunnableConfig, channels: Sequence[str]
) -> dict[str, DeltaChannelHistory]:
    """Return what channels without a stored value are rebuilt from."""
    ref = configs.parse_config(config)
    names = [
        validation.channel(name, "each of channels")
        for name in validation.sequence(channels, "channels")
    ]
    result: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in names}
    if not names:
        return result
    codec = session.codec
    with session.located(ref, find_owner=True) as location:
        with session.snapshot() as snapshot:
            found = find(session, snapshot, ref)
            if found is None:
                return result
            with gc_pause.paused_for(found.thread.writes):
                histories = channel_history.history(
                    snapshot.reader, found.namespace, found.record, list(result)
                )
            thread_version = found.thread.thread_version
            writes: list[tuple[str, str, Callable[[], Any]]] = []
            seeds: dict[str, Callable[[], Any]] = {}
            for channel, history in histories.items():
                for task_id, value in history.writes:
                    writes.append(
                        (
                            task_id,
                            channel,
                            codec.fetch_write(value, thread_version, snapshot.reader),
                        )
                    )
                if history.seed is not None:
                    key = ChannelKey(ref.thread_id, ref.checkpoint_ns, channel)
                    seeds[channel] = codec.fetch(key, history.seed, thread_version, snapshot.reader)
        for task_id, channel, decode in writes:
            location["channel"] = channel
            result[channel]["writes"].append((task_id, channel, decode()))
        for channel, decode in seeds.items():
            location["channel"] = channel
            result[channel]["seed"] = decode()
    return result
