"""The protocol's writing methods, as operations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import WRITES_IDX_MAP, get_checkpoint_metadata

from langgraph.checkpoint.lmdb.codec import serializer
from langgraph.checkpoint.lmdb.codec.encoded import Encoded, ParentValue
from langgraph.checkpoint.lmdb.codec.value_cache import ChannelKey
from langgraph.checkpoint.lmdb.engine import copying
from langgraph.checkpoint.lmdb.engine import prune as prune_engine
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
    """Store a checkpoint; returns the config that leads to it.

    A value that is handed over is stored, whatever its version: equal versions do not prove equal
    values. Only for a channel without a value does its version say what it holds.
    """
    parent = configs.parse_config(config)
    ref = CheckpointRef(parent.thread_id, parent.checkpoint_ns, str(checkpoint["id"]))
    full_metadata: dict[str, Any] = {**get_checkpoint_metadata(config, metadata)}
    versions = _versions(ref, checkpoint)
    body = {key: None if key in _IN_RECORD else value for key, value in checkpoint.items()}
    run_id = full_metadata.get("run_id")
    root = _root_of(full_metadata) if ref.checkpoint_ns else None
    own_labels, thread_terms = metadata_index.terms_for_metadata(full_metadata)
    body_part = _record_part(session, ref, "checkpoint", body)
    metadata_part = _record_part(session, ref, "metadata", full_metadata)
    given: dict[str, Any] = dict(checkpoint["channel_values"])
    absent = {c: v for c, v in versions.items() if c not in given and c not in new_versions}
    encoded: dict[str, Encoded] = {}

    def prepare(bypass_cache: bool) -> Callable[[Writer], Stored]:
        parent_state = session.parent_state(parent, bypass_cache, root)
        for channel, value in given.items():
            given[channel] = _encode(session, ref, channel, value, parent_state)
        encoded.clear()
        encoded.update(given)
        encoded.update(_inherited(session, ref, absent, parent_state))
        return session.store.put(
            NewCheckpoint(
                ref.thread_id,
                ref.checkpoint_ns,
                str(checkpoint["id"]),
                parent.checkpoint_id,
                None if run_id is None else metadata_index.run_text(run_id),
                root,
                body_part,
                metadata_part,
                versions,
                {channel: made.new for channel, made in encoded.items()},
                own_labels,
                thread_terms,
                None if parent_state.record is None else parent_state.record.stored,
                parent_state.thread_version,
            )
        )

    def finish(stored: Stored) -> RunnableConfig:
        for (channel, made), kept in zip(encoded.items(), stored.values, strict=True):
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


def _encode(
    session: Session, ref: CheckpointRef, channel: str, value: Any, parent_state: ParentState
) -> Encoded:
    """Encode a value, or the content of one that was encoded before: it may have changed since."""
    base = _base(session, ref, channel, parent_state)
    if isinstance(value, Encoded):
        return value.again(base)
    key = ChannelKey(ref.thread_id, ref.checkpoint_ns, channel)
    try:
        return session.codec.encode(key, value, base)
    except LmdbSaverError as error:
        raise serializer.add_location(error, channel=channel, **ref._asdict())  # noqa: B904


def _base(
    session: Session, ref: CheckpointRef, channel: str, parent_state: ParentState
) -> ParentValue | None:
    """What the parent has of a channel; None if there is no such thread yet."""
    if parent_state.thread_version is None:
        return None
    snapshot = partial(session.snapshot_of, ref.thread_id, parent_state.thread_version)
    return ParentValue(parent_state.thread_version, parent_state.values.get(channel), snapshot)


def _inherited(
    session: Session, ref: CheckpointRef, versions: dict[str, Version], parent_state: ParentState
) -> Iterator[tuple[str, Encoded]]:
    """Yield what channels have of which there is a version that is not new, but no value."""
    for channel, version in versions.items():
        stored = _value_at(session, ref, channel, version, parent_state)
        if stored is not None:
            yield channel, session.codec.inherit(stored, _base(session, ref, channel, parent_state))


def _value_at(
    session: Session, ref: CheckpointRef, channel: str, version: Version, parent_state: ParentState
) -> StoredValue | None:
    """Return the value of the nearest ancestor that is at a version of a channel, if any."""
    parent = parent_state.record
    if parent is None or parent_state.thread_version is None:
        return None
    if not _is_older(version, parent.versions.get(channel)):
        return parent.values.get(channel) if parent.versions.get(channel) == version else None
    with session.snapshot_of(ref.thread_id, parent_state.thread_version) as snapshot:
        for record in snapshot.ancestry(ref.thread_id, ref.checkpoint_ns, parent):
            known = record.versions.get(channel)
            if known == version:
                return record.values.get(channel)
            if not _is_older(version, known):
                break
    return None


def _is_older(version: Version, known: Version | None) -> bool:
    """Return whether a version may be found above an ancestor that is at a known one.

    Versions ascend from parent to child, so nothing older than an ancestor's comes after it. What
    LangGraph puts is never older than the parent.
    """
    if isinstance(version, str):
        return isinstance(known, str) and version < known
    return isinstance(known, (int, float)) and version < known


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
    given: list[tuple[str, Any]] = list(writes)

    def prepare(bypass_cache: bool) -> Callable[[Writer], None]:
        parent_state = session.parent_state(ref, bypass_cache)
        given[:] = [(c, _encode(session, ref, c, value, parent_state)) for c, value in given]
        rows = [
            (WRITES_IDX_MAP.get(channel, index), channel, made.new)
            for index, (channel, made) in enumerate(given)
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

    return Operation(prepare, lambda _: None, can_wait=True)


def delete_thread(session: Session, thread_id: object) -> Operations[None]:
    """Delete a thread; it is out of sight after the first operation."""
    left = yield simple(lambda writer: prune_engine.delete_thread(writer, str(thread_id)))
    while left is not None:
        left = yield simple(partial(prune_engine.purge, number=left))
    yield from retention.purge_deleted(session)


def delete_for_runs(session: Session, run_ids: Sequence[str]) -> Operations[None]:
    """Delete what runs stored; an operation for each thread that they ran in."""
    ids = {
        run_id: metadata_index.term_for_run(run_id)
        for run_id in _texts(run_ids, "run_ids", metadata_index.run_text)
    }
    with session.store.snapshot() as snapshot:
        numbers = prune_engine.threads_of_runs(snapshot.reader, ids)
    for number in numbers:
        yield simple(
            partial(prune_engine.delete_runs, number=number, run_ids=ids, options=session.options)
        )


def copy_thread(session: Session, source: object, target: object) -> Operation[None, None]:
    """Copy a thread."""
    return simple(
        lambda writer: copying.copy_thread(writer, str(source), str(target), session.options)
    )


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

    def apply(writer: Writer) -> str:
        return copying.fork(
            writer, source.thread_id, source.checkpoint_id, thread_id, session.options
        )

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
            yield simple(
                partial(prune_engine.prune, thread_id=thread_id, keep=keep, options=session.options)
            )


def _texts(values: Sequence[str], name: str, text: Callable[[object], str] = str) -> list[str]:
    if isinstance(values, (str, bytes)):
        raise NotASequenceError(
            f"{name} is a single {type(values).__name__}", advice=f"Pass a list: {name}=[...]."
        )
    return [text(value) for value in values]
