"""The operations that store checkpoints and pending writes."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.types import ERROR

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.codec import gc_pause
from langgraph.checkpoint.lmdb.codec.value_cache import ChannelKey
from langgraph.checkpoint.lmdb.codec.value_codec import Encode, Encoded, ParentValue
from langgraph.checkpoint.lmdb.engine.checkpoints import Version
from langgraph.checkpoint.lmdb.engine.chunks import StoredValue
from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
from langgraph.checkpoint.lmdb.engine.store import NewCheckpoint, NewWrites, Stored
from langgraph.checkpoint.lmdb.errors import InvalidConfigError
from langgraph.checkpoint.lmdb.kv.base import Writer
from langgraph.checkpoint.lmdb.operations import configs, metadata_index, run_states
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
from langgraph.checkpoint.lmdb.operations.location import located
from langgraph.checkpoint.lmdb.operations.parent_cache import ParentState
from langgraph.checkpoint.lmdb.operations.session import Operation, Session
from langgraph.checkpoint.lmdb.run_state import is_trigger

_IN_RECORD = frozenset(("id", "channel_values", "channel_versions"))
"""Keys of a checkpoint that are fields of its record."""
_NO_PARENT = ParentState(None, None)


class PutOperation(Operation[Stored, "RunnableConfig"]):
    """An operation that stores a checkpoint; its result is the config that leads to it.

    A value in `channel_values` is stored whatever its version is: equal versions do not prove equal
    values. The version decides only for a channel without a value.
    """

    def __init__(
        self,
        session: Session,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> None:
        self._session = session
        self._parent = configs.parse_config(config)
        self.thread_id = self._parent.thread_id
        with located(**self._parent._replace(checkpoint_id=None)._asdict()):
            checkpoint = validation.checkpoint(checkpoint)
            new = validation.mapping(new_versions, "new_versions")
            self._full_metadata = _full_metadata(config, metadata)
        self._ref = CheckpointRef(
            self._parent.thread_id, self._parent.checkpoint_ns, checkpoint["id"]
        )
        self.new_checkpoint = self._ref
        self._root = _root_of(self._full_metadata) if self._ref.checkpoint_ns else None
        body = {key: None if key in _IN_RECORD else value for key, value in checkpoint.items()}
        with located(**self._ref._asdict(), channel="checkpoint") as location:
            self._body = session.codec.encode_record_part(body)
            location["channel"] = "metadata"
            self._metadata = session.codec.encode_record_part(self._full_metadata)
        self._versions: dict[str, Version] = checkpoint["channel_versions"]
        self._values: dict[str, Any] = dict(checkpoint["channel_values"])
        self._encoded: dict[str, Encoded] = {}
        """The same values, encoded."""
        self._absent = {
            channel: version
            for channel, version in self._versions.items()
            if channel not in self._values and channel not in new
        }
        self._state = None if self._ref.checkpoint_ns else run_states.of_new(checkpoint)
        self._encoders: dict[str, Encode]
        self._inherited: dict[str, Encode]
        self._all_encoded: dict[str, Encoded]
        """`_encoded`, and what is inherited."""
        self._new: NewCheckpoint

    @property
    def config(self) -> RunnableConfig:
        """The config that leads to the checkpoint."""
        return configs.to_config(self._ref)

    def prepare(self, bypass_cache: bool) -> None:
        session, ref = self._session, self._ref
        parent = session.parent_state(self._parent, bypass_cache, self._root)
        session.begin_storing(ref, parent)
        self._encoders = {}
        with gc_pause.paused_for(len(self._values)), located(**ref._asdict()) as location:
            for channel, value in self._values.items():
                location["channel"] = channel
                earlier = self._encoded.get(channel)
                self._encoders[channel] = _serialize(session, ref, channel, value, parent, earlier)
        self._inherited = dict(_inherit(session, ref, self._absent, parent))
        run_id = self._full_metadata.get("run_id")
        terms, thread_terms = metadata_index.terms_for_metadata(self._full_metadata)
        self._new = NewCheckpoint(
            thread_id=ref.thread_id,
            checkpoint_ns=ref.checkpoint_ns,
            id=str(ref.checkpoint_id),
            parent=self._parent.checkpoint_id,
            run_id=None if run_id is None else metadata_index.run_text(run_id),
            root=self._root,
            body=self._body,
            metadata=self._metadata,
            versions=self._versions,
            values={},
            terms=terms,
            thread_terms=thread_terms,
            parent_stored_at=None if parent.record is None else parent.record.stored_at,
            state=None if any(map(is_trigger, self._inherited)) else self._state,
            thread_version=parent.thread_version,
        )

    def encode(self) -> None:
        with located(**self._ref._asdict()) as location, gc_pause.paused_for(len(self._encoders)):
            for channel, encode in self._encoders.items():
                location["channel"] = channel
                self._encoded[channel] = encode()
            inherited = {channel: encode() for channel, encode in self._inherited.items()}
            self._all_encoded = {**self._encoded, **inherited}
            self._new.values = {
                channel: encoded.to_store for channel, encoded in self._all_encoded.items()
            }

    def apply(self, writer: Writer) -> Stored:
        with gc_pause.paused_for(len(self._values)):
            return self._session.store.put(writer, self._new)

    def finish(self, result: Stored) -> RunnableConfig:
        session, ref = self._session, self._ref
        rows = zip(self._all_encoded.items(), result.values, strict=True)
        with gc_pause.paused_for(len(self._values)):
            for (channel, encoded), stored in rows:
                key = ChannelKey(ref.thread_id, ref.checkpoint_ns, channel)
                session.codec.remember(key, encoded, result.thread_version, stored)
        session.parent_cache.put(ref, ParentState(result.thread_version, result.record))
        return self.config


class PutWritesOperation(Operation[None, None]):
    """An operation that stores pending writes of a task."""

    can_wait = True

    def __init__(
        self,
        session: Session,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
        *,
        is_first: bool = False,
    ) -> None:
        self._session = session
        self._ref = ref = configs.parse_config(config)
        self.thread_id = ref.thread_id
        self._is_first = is_first
        """True: prepare the writes as the first ones of a thread, whatever the store has."""
        if ref.checkpoint_id is None:
            raise InvalidConfigError(
                "the config has no checkpoint_id, so these writes belong to no checkpoint",
                thread_id=ref.thread_id,
                checkpoint_ns=ref.checkpoint_ns,
                advice="Pass the config that put returned, "
                'or add "checkpoint_id" to "configurable".',
            )
        self._checkpoint_id = ref.checkpoint_id
        self._writes: list[tuple[str, Any]] = validation.writes(writes)
        self._encoded: dict[int, Encoded] = {}
        """The value of each write, encoded, by its position."""
        self._task_id = validation.text(task_id, "task_id")
        self._task_path = validation.text(task_path, "task_path")
        # LangGraph stores the error of a cancelled task in the background and does not wait for it.
        self.is_detached = any(
            channel == ERROR and isinstance(value, CancelledError)
            for channel, value in self._writes
        )
        self._encoders: list[tuple[str, Encode]]
        self._new: NewWrites

    def prepare(self, bypass_cache: bool) -> None:
        session, ref = self._session, self._ref
        parent = _NO_PARENT if self._is_first else session.state_for_writes(ref, bypass_cache)
        self._encoders = []
        with gc_pause.paused_for(len(self._writes)), located(**ref._asdict()) as location:
            for index, (channel, value) in enumerate(self._writes):
                location["channel"] = channel
                earlier = self._encoded.get(index)
                encode = _serialize(session, ref, channel, value, parent, earlier)
                self._encoders.append((channel, encode))
        self._new = NewWrites(
            thread_id=ref.thread_id,
            checkpoint_ns=ref.checkpoint_ns,
            checkpoint_id=self._checkpoint_id,
            task_id=self._task_id,
            path=self._task_path,
            rows=[],
            kept_states=run_states.kept_by(self._task_id, (channel for channel, _ in self._writes)),
            thread_version=parent.thread_version,
        )

    def encode(self) -> None:
        with located(**self._ref._asdict()) as location, gc_pause.paused_for(len(self._encoders)):
            for index, (channel, encode) in enumerate(self._encoders):
                location["channel"] = channel
                self._encoded[index] = encode()
            self._new.rows = [
                (WRITES_IDX_MAP.get(channel, index), channel, self._encoded[index].to_store)
                for index, (channel, _) in enumerate(self._encoders)
            ]

    def apply(self, writer: Writer) -> None:
        with gc_pause.paused_for(len(self._writes)):
            self._session.store.put_writes(writer, self._new)

    def finish(self, result: None) -> None:
        pass


class PutWithWritesOperation(Operation[Stored, "RunnableConfig"]):
    """An operation that stores a checkpoint, and then its pending writes, in one commit.

    The writes are prepared before the checkpoint is stored. So they refer to no stored value: the
    values of a checkpoint with the same id are deleted when it is replaced.

    Args:
        session: The session.
        put: The operation that stores the checkpoint.
        calls: Task id, task path, and writes, for each call of `put_writes`.
    """

    def __init__(
        self,
        session: Session,
        put: PutOperation,
        calls: Iterable[tuple[str, str, Sequence[tuple[str, Any]]]],
    ) -> None:
        self._put = put
        self.thread_id = put.thread_id
        self.new_checkpoint = put.new_checkpoint
        self._writes = [
            PutWritesOperation(session, put.config, writes, task_id, task_path, is_first=True)
            for task_id, task_path, writes in calls
        ]

    def prepare(self, bypass_cache: bool) -> None:
        self._put.prepare(bypass_cache)
        for writes in self._writes:
            writes.prepare(bypass_cache)

    def encode(self) -> None:
        self._put.encode()
        for writes in self._writes:
            writes.encode()

    def apply(self, writer: Writer) -> Stored:
        stored = self._put.apply(writer)
        for writes in self._writes:
            writes.apply(writer)
        return stored

    def finish(self, result: Stored) -> RunnableConfig:
        return self._put.finish(result)


def _full_metadata(config: RunnableConfig, metadata: CheckpointMetadata) -> dict[str, Any]:
    """Return the metadata of a checkpoint merged with the metadata of its config."""
    own: Any = validation.metadata(metadata)
    validation.string_keys(config.get("metadata"), 'config["metadata"]')
    validation.string_keys(config["configurable"], 'config["configurable"]')
    return {**get_checkpoint_metadata(config, own)}


def _root_of(metadata: dict[str, Any]) -> str | None:
    """Return the id of the root-namespace checkpoint that called a subgraph."""
    parents = metadata.get("parents")
    root = parents.get("") if isinstance(parents, dict) else None
    return root if isinstance(root, str) else None


def _serialize(
    session: Session,
    ref: CheckpointRef,
    channel: str,
    value: Any,
    parent: ParentState,
    earlier: Encoded | None,
) -> Encode:
    """Serialize a value, to encode it against the parent's value of the channel.

    A retry passes the value as it was encoded before, and `value` is not looked at: the caller may
    have changed it in the meantime.
    """
    parent_value = _parent_value(session, ref, channel, parent)
    if earlier is not None:
        return earlier.encode_again(parent_value)
    key = ChannelKey(ref.thread_id, ref.checkpoint_ns, channel)
    return session.codec.serialize(key, value, parent_value)


def _parent_value(
    session: Session, ref: CheckpointRef, channel: str, parent: ParentState
) -> ParentValue:
    """Return the parent's value of a channel."""
    view = partial(session.view_of, ref.thread_id, parent.thread_version)
    return ParentValue(
        parent.thread_version, parent.values.get(channel), view, siblings=parent.values
    )


def _inherit(
    session: Session, ref: CheckpointRef, versions: dict[str, Version], parent: ParentState
) -> Iterator[tuple[str, Encode]]:
    """Yield the inherited value of each channel that has an old version and no value."""
    for channel, version in versions.items():
        stored = _value_at(session, ref, channel, version, parent)
        if stored is not None:
            parent_value = _parent_value(session, ref, channel, parent)
            yield channel, session.codec.inherit(stored, parent_value)


def _value_at(
    session: Session, ref: CheckpointRef, channel: str, version: Version, parent: ParentState
) -> StoredValue | None:
    """Return the value of the nearest ancestor with a version of a channel, or None."""
    record = parent.record
    if record is None or parent.thread_version is None:
        return None
    if not _is_older(version, record.versions.get(channel)):
        return record.values.get(channel) if record.versions.get(channel) == version else None

    def find(snapshot: Snapshot) -> StoredValue | None:
        for ancestor in snapshot.ancestry(ref.thread_id, ref.checkpoint_ns, record):
            known = ancestor.versions.get(channel)
            if known == version:
                return ancestor.values.get(channel)
            if not _is_older(version, known):
                break
        return None

    return session.view_of(ref.thread_id, parent.thread_version, find)


def _is_older(version: Version, known: Version | None) -> bool:
    """Return True if a version may be found above an ancestor with a known one, or with none.

    Versions ascend from parent to child, so an older version is only above the ancestor. LangGraph
    never puts a version that is older than the parent's, or that the parent does not have.
    """
    if known is None:
        return True
    if isinstance(version, str):
        return isinstance(known, str) and version < known
    return isinstance(known, (int, float)) and version < known
