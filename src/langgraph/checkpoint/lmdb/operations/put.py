"""The protocol's writing methods, as operations."""

from __future__ import annotations

from asyncio import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import WRITES_IDX_MAP, get_checkpoint_metadata
from langgraph.checkpoint.serde.types import ERROR

from langgraph.checkpoint.lmdb.codec import serializer
from langgraph.checkpoint.lmdb.codec.value_cache import ChannelKey
from langgraph.checkpoint.lmdb.codec.value_codec import Encoded, ParentValue
from langgraph.checkpoint.lmdb.engine.store import NewCheckpoint, NewWrites
from langgraph.checkpoint.lmdb.errors import (
    InvalidConfigError,
    InvalidVersionError,
    LmdbSaverError,
    NotASequenceError,
    UsageError,
)
from langgraph.checkpoint.lmdb.operations import configs, metadata_index, retention
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
from langgraph.checkpoint.lmdb.operations.session import Operation, ParentState, simple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata

    from langgraph.checkpoint.lmdb.engine.checkpoints import Version
    from langgraph.checkpoint.lmdb.engine.chunks import InlineValue, NewValue, StoredValue
    from langgraph.checkpoint.lmdb.engine.store import Stored
    from langgraph.checkpoint.lmdb.kv.base import Writer
    from langgraph.checkpoint.lmdb.operations.session import Operations, Session

_IN_RECORD = frozenset(("id", "channel_values", "channel_versions"))
"""Keys of a checkpoint that have a place of their own in its record."""


def put(
    session: Session,
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    new_versions: ChannelVersions,
) -> Operation[Stored, RunnableConfig]:
    """Store a checkpoint; returns the config that leads to it."""
    parent = configs.parse_config(config)
    ref = CheckpointRef(parent.thread_id, parent.checkpoint_ns, str(checkpoint["id"]))
    full_metadata: dict[str, Any] = {**get_checkpoint_metadata(config, metadata)}
    versions = _versions(ref, checkpoint)
    body = {key: None if key in _IN_RECORD else value for key, value in checkpoint.items()}
    run_id = full_metadata.get("run_id")
    root = _root_of(full_metadata) if ref.checkpoint_ns else None
    own_labels, thread_terms = metadata_index.terms_for_metadata(full_metadata)
    encoded: dict[str, Encoded | StoredValue] = {}

    def prepare(bypass_cache: bool) -> Callable[[Writer], Stored]:
        parent_state = session.parent_state(parent, bypass_cache, root)
        encoded.clear()
        encoded.update(_values(session, ref, checkpoint, new_versions, parent_state))
        return session.store.put(
            NewCheckpoint(
                ref.thread_id,
                ref.checkpoint_ns,
                str(checkpoint["id"]),
                parent.checkpoint_id,
                None if run_id is None else metadata_index.run_text(run_id),
                root,
                _record_part(session, ref, "checkpoint", body),
                _record_part(session, ref, "metadata", full_metadata),
                versions,
                {c: v.new if isinstance(v, Encoded) else v for c, v in encoded.items()},
                own_labels,
                thread_terms,
                None if parent_state.record is None else parent_state.record.stored,
                parent_state.thread_version,
            )
        )

    def finish(stored: Stored) -> RunnableConfig:
        for (channel, made), kept in zip(encoded.items(), stored.values, strict=True):
            if isinstance(made, Encoded):
                key = ChannelKey(ref.thread_id, ref.checkpoint_ns, channel)
                session.codec.remember(key, made, stored.thread_version, kept)
        session.parent_cache.put(ref, ParentState(stored.thread_version, stored.record))
        return configs.to_config(ref)

    return Operation(prepare, finish)


def _versions(ref: CheckpointRef, checkpoint: Checkpoint) -> dict[str, Version]:
    versions = dict(checkpoint["channel_versions"])
    for channel, version in versions.items():
        if not isinstance(version, (str, float)) and not (
            isinstance(version, int) and -(1 << 63) <= version < 1 << 64
        ):
            raise InvalidVersionError(
                f"{version!r} is no version of a channel", channel=channel, **ref._asdict()
            )
    return versions


def _values(
    session: Session,
    ref: CheckpointRef,
    checkpoint: Checkpoint,
    new_versions: ChannelVersions,
    parent_state: ParentState,
) -> Iterator[tuple[str, Encoded | StoredValue]]:
    """Each channel that has a value: what its version stands for, or what was handed over."""
    given = checkpoint["channel_values"]
    versions = checkpoint["channel_versions"]
    inherited = {
        channel: value
        for channel, version in versions.items()
        if channel not in new_versions
        and (value := _inherited(session, ref, channel, version, parent_state)) is not None
    }
    for channel, value in given.items():
        if channel in inherited:
            yield (
                channel,
                session.codec.inherit(inherited.pop(channel), parent_state.thread_version),
            )
        else:
            yield channel, _encode(session, ref, channel, value, parent_state)
    for channel, value in inherited.items():
        yield channel, session.codec.inherit(value, parent_state.thread_version)


def _encode(
    session: Session, ref: CheckpointRef, channel: str, value: Any, parent_state: ParentState
) -> Encoded:
    key = ChannelKey(ref.thread_id, ref.checkpoint_ns, channel)
    base = None
    if parent_state.thread_version is not None:
        snapshot = partial(session.snapshot_of, ref.thread_id, parent_state.thread_version)
        base = ParentValue(parent_state.thread_version, parent_state.values.get(channel), snapshot)
    try:
        return session.codec.encode(key, value, base)
    except LmdbSaverError as error:
        raise serializer.add_location(error, channel=channel, **ref._asdict())  # noqa: B904


def _inherited(
    session: Session, ref: CheckpointRef, channel: str, version: Version, parent_state: ParentState
) -> StoredValue | None:
    """The value of a channel at a version that is not new: the parent's, if it is at it, or else
    that of whichever checkpoint of the namespace stored it."""
    if parent_state.versions.get(channel) == version:
        return parent_state.values.get(channel)
    if parent_state.thread_version is None:
        return None
    with session.snapshot_of(ref.thread_id, parent_state.thread_version) as snapshot:
        thread, _ = snapshot.thread_of_any_age(ref.thread_id)
        namespace = None if thread is None else snapshot.namespace(thread, ref.checkpoint_ns)
        if thread is None or namespace is None:
            return None
        return snapshot.find_version(thread.number, namespace, channel, version)


def _record_part(
    session: Session, ref: CheckpointRef, part: str, value: Any
) -> NewValue | InlineValue:
    try:
        return session.codec.encode_record_part(value)
    except LmdbSaverError as error:
        raise serializer.add_location(error, channel=part, **ref._asdict())  # noqa: B904


def _root_of(metadata: dict[str, Any]) -> str | None:
    """The checkpoint of the root graph that a subgraph's checkpoint belongs to."""
    parents = metadata.get("parents")
    root = parents.get("") if isinstance(parents, dict) else None
    return root if isinstance(root, str) else None


def put_writes(
    session: Session,
    config: RunnableConfig,
    writes: Sequence[tuple[str, Any]],
    task_id: str,
    task_path: str,
) -> Operation[None, None]:
    """Store pending writes of a task."""
    ref = configs.parse_config(config)
    checkpoint_id = ref.checkpoint_id
    if checkpoint_id is None:
        raise InvalidConfigError(
            "the config has no checkpoint_id, so these writes belong to no checkpoint",
            thread_id=ref.thread_id,
            checkpoint_ns=ref.checkpoint_ns,
            advice='Pass the config that put returned, or add "checkpoint_id" to "configurable".',
        )
    encoded: list[tuple[str, Encoded]] = []

    def prepare(bypass_cache: bool) -> Callable[[Writer], None]:
        parent_state = session.parent_state(ref, bypass_cache)
        encoded[:] = [(c, _encode(session, ref, c, value, parent_state)) for c, value in writes]
        rows = [
            (WRITES_IDX_MAP.get(channel, index), channel, made.new)
            for index, (channel, made) in enumerate(encoded)
        ]
        return session.store.put_writes(
            NewWrites(
                ref.thread_id,
                ref.checkpoint_ns,
                checkpoint_id,
                str(task_id),
                str(task_path),
                [*rows],
                parent_state.thread_version,
            )
        )

    # LangGraph stores the error of a cancelled task in the background, and waits no more.
    detached = any(
        channel == ERROR and isinstance(value, CancelledError) for channel, value in writes
    )
    return Operation(prepare, lambda _: None, can_wait=True, detached=detached)


def delete_thread(session: Session, thread_id: object) -> Operations[None]:
    """Delete a thread; it is out of sight after the first operation."""
    house = session.housekeeping
    left = yield simple(house.delete_thread(str(thread_id)))
    while left is not None:
        left = yield simple(house.purge(left))
    yield from retention.purge_deleted(session)


def delete_for_runs(session: Session, run_ids: Sequence[str]) -> Operations[None]:
    """Delete what runs stored; an operation for each thread that they ran in."""
    ids = {
        run_id: metadata_index.term_for_run(run_id)
        for run_id in _texts(run_ids, "run_ids", metadata_index.run_text)
    }
    for apply in session.housekeeping.delete_runs(ids):
        yield simple(apply)


def copy_thread(session: Session, source: object, target: object) -> Operation[None, None]:
    """Copy a thread."""
    return simple(session.housekeeping.copy_thread(str(source), str(target)))


def fork(
    session: Session, config: RunnableConfig, target: object
) -> Operation[str, RunnableConfig]:
    """Make a thread of a checkpoint and its ancestors; returns the config that leads to it."""
    source = configs.parse_config(config)
    if source.checkpoint_ns:
        raise InvalidConfigError(
            "a fork begins in the root namespace",
            advice="Fork the root checkpoint that the subgraph was called from; "
            "what the subgraph stored comes along.",
            **source._asdict(),
        )
    thread_id = str(target)
    apply = session.housekeeping.fork(source.thread_id, source.checkpoint_id, thread_id)
    return Operation(
        lambda _: apply, lambda found: configs.to_config(CheckpointRef(thread_id, "", found))
    )


PRUNE_STRATEGIES = ("keep_latest", "delete")


def prune(
    session: Session, thread_ids: Sequence[str], strategy: str, keep_last: int | None
) -> Operations[None]:
    """Prune threads; an operation for each."""
    ids = _texts(thread_ids, "thread_ids")
    if strategy not in PRUNE_STRATEGIES:
        raise UsageError(
            f"unknown prune strategy {strategy!r}",
            advice=f"Use one of {', '.join(map(repr, PRUNE_STRATEGIES))}.",
        )
    if keep_last is not None and (
        strategy == "delete" or isinstance(keep_last, bool) or not isinstance(keep_last, int)
    ):
        raise UsageError(
            f"keep_last={keep_last!r} with strategy {strategy!r}",
            advice='keep_last is a whole number and goes with strategy "keep_latest".',
        )
    if keep_last is not None and keep_last < 1:
        raise UsageError(
            f"keep_last={keep_last} keeps nothing", advice='Use strategy "delete" for that.'
        )
    return _prune(session, ids, strategy, 1 if keep_last is None else keep_last)


def _prune(session: Session, ids: Sequence[str], strategy: str, keep: int) -> Operations[None]:
    for thread_id in ids:
        if strategy == "delete":
            yield from delete_thread(session, thread_id)
        else:
            yield simple(session.housekeeping.prune(thread_id, keep))


def _texts(values: Sequence[str], name: str, text: Callable[[object], str] = str) -> list[str]:
    if isinstance(values, (str, bytes)):
        raise NotASequenceError(
            f"{name} is a single {type(values).__name__}", advice=f"Pass a list: {name}=[...]."
        )
    return [text(value) for value in values]
