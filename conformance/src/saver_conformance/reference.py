"""The reference saver: the model behind the saver protocol, and the base of the mutants.

It appends every operation to a journal file, and replays the journal when it opens the store. It
is slow and short, so that it can be verified by reading.
"""

from __future__ import annotations

import fcntl
import math
import os
import pickle
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)

from saver_conformance.metadata import merged_metadata
from saver_conformance.model import Entry, Model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from io import FileIO
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.serde.base import SerializerProtocol

_LENGTH = 8


class ReferenceSaver(BaseCheckpointSaver[int]):
    """A saver that behaves like the model.

    Args:
        folder: Folder of the journal; None keeps everything in memory.
        serde: Serializer of values; None uses LangGraph's serializer.
    """

    def __init__(
        self, folder: Path | None = None, *, serde: SerializerProtocol | None = None
    ) -> None:
        super().__init__(serde=serde)
        self.model = Model()
        self.lock = threading.RLock()
        self.journal = None if folder is None else (folder / "journal").open("a+b", buffering=0)
        self.replayed = 0

    def close(self) -> None:
        """Close the journal."""
        if self.journal is not None:
            self.journal.close()

    # -- the journal -------------------------------------------------------------------------

    @contextmanager
    def current(self, *, exclusive: bool = False) -> Iterator[Model]:
        """Yield the model, updated with the writes of every process.

        Args:
            exclusive: True to lock out the other processes.
        """
        with self.lock:
            if self.journal is None:
                yield self.model
                return
            fcntl.flock(self.journal, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            try:
                self.catch_up()
                yield self.model
            finally:
                fcntl.flock(self.journal, fcntl.LOCK_UN)

    def catch_up(self) -> None:
        """Replay the part of the journal that is new."""
        journal = self.journal
        if journal is None:
            return
        journal.seek(self.replayed)
        data = journal.read()
        while len(data) >= _LENGTH:
            end = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
            if len(data) < end:
                break
            operation, args, kwargs = pickle.loads(data[_LENGTH:end])  # noqa: S301 - our own file
            getattr(self.model, operation)(*args, **kwargs)
            self.replayed += end
            data = data[end:]

    def write(self, operation: str, *args: Any, **kwargs: Any) -> None:
        """Apply an operation to the model and append it to the journal.

        Args:
            operation: Method of the model.
            *args: Positional arguments.
            **kwargs: Keyword arguments.
        """
        with self.current(exclusive=True) as model:
            getattr(model, operation)(*args, **kwargs)
            if self.journal is not None:
                record = pickle.dumps((operation, args, kwargs))
                try:
                    self.append(self.journal, len(record).to_bytes(_LENGTH, "big") + record)
                except OSError:
                    # Replay the journal: it has what is stored.
                    self.model, self.replayed = Model(), 0
                    raise
                self.replayed += _LENGTH + len(record)

    def append(self, journal: FileIO, record: bytes) -> None:
        """Write a record to the end of the journal, in one flush.

        Args:
            journal: Journal.
            record: Record with its length.

        Raises:
            OSError: If the disk is full or broken.
        """
        # Overwrite a partial record of a process that was killed while writing.
        journal.truncate(self.replayed)
        journal.write(record)
        os.fsync(journal.fileno())

    # -- values ------------------------------------------------------------------------------

    def encode(self, value: Any, channel: str = "metadata") -> tuple[str, bytes]:
        """Serialize a value; an error names the channel and the place in the value."""
        try:
            return self.serde.dumps_typed(value)
        except Exception as error:
            raise TypeError(f"cannot serialize {self.culprit(value, channel)}: {error}") from error

    def culprit(self, value: Any, name: str) -> str:
        """Return the name of the innermost part of a value that cannot be serialized."""
        items = value.items() if isinstance(value, dict) else ()
        for key, part in enumerate(value) if isinstance(value, (list, tuple)) else items:
            try:
                self.serde.dumps_typed(part)
            except Exception:  # noqa: BLE001 - a serializer may raise anything
                return self.culprit(part, f"{name}[{key!r}]")
        return name

    def decode(self, value: tuple[str, bytes]) -> Any:
        """Deserialize a value."""
        return self.serde.loads_typed(value)

    def tuple_of(self, entry: Entry) -> CheckpointTuple:
        """Return an entry of the model as a `CheckpointTuple`."""
        thread, ns, identifier = entry.key
        values = {k: self.decode(v) for k, v in entry.checkpoint["channel_values"].items()}
        parent = None if entry.parent is None else _where(thread, ns, entry.parent)
        return CheckpointTuple(
            _where(thread, ns, identifier),
            cast("Checkpoint", {**entry.checkpoint, "channel_values": values}),
            cast("CheckpointMetadata", entry.metadata),
            parent,
            [(task, channel, self.decode(value)) for task, channel, value in entry.writes],
        )

    # -- the protocol ------------------------------------------------------------------------

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint with all its values."""
        values = {k: self.encode(v, k) for k, v in checkpoint["channel_values"].items()}
        where = config["configurable"]
        for channel, version in checkpoint["channel_versions"].items():
            if channel not in values and channel not in new_versions:
                values.update(self.inherited(config, channel, version))
        bare = _where(where["thread_id"], where.get("checkpoint_ns"), where.get("checkpoint_id"))
        merged = merged_metadata(cast("Mapping[str, Any]", config), metadata)
        self.encode(merged)
        self.write("put", bare, {**checkpoint, "channel_values": values}, merged)
        return _where(str(where["thread_id"]), where.get("checkpoint_ns"), checkpoint["id"])

    def inherited(self, config: RunnableConfig, channel: str, version: Any) -> dict[str, Any]:
        """Return the value that a version of a channel has on the path to a parent, if any."""
        with self.current() as model:
            return model.inherited(cast("Mapping[str, Any]", config), channel, version)

    def get_next_version(self, current: Any, channel: None) -> Any:  # noqa: ARG002
        """Return a greater version of the same kind."""
        if isinstance(current, str):
            return f"{current}0"
        if isinstance(current, float):
            return max(current + 1, math.nextafter(current, math.inf))
        return 1 if current is None else current + 1

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store the writes of a task."""
        where = config["configurable"]
        bare = _where(where["thread_id"], where.get("checkpoint_ns"), where["checkpoint_id"])
        encoded = [(channel, self.encode(value, channel)) for channel, value in writes]
        self.write("put_writes", bare, encoded, task_id, task_path)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint."""
        with self.current() as model:
            entry = model.get(cast("Mapping[str, Any]", config))
        return None if entry is None else self.tuple_of(entry)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield the matching checkpoints."""
        with self.current() as model:
            entries = model.matching(
                cast("Any", config), filter=filter, before=cast("Any", before), limit=limit
            )
        yield from map(self.tuple_of, entries)

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread."""
        self.write("delete_thread", thread_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of some runs."""
        self.write("delete_for_runs", [*run_ids])

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread."""
        self.write("copy_thread", source_thread_id, target_thread_id)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the latest checkpoint of each namespace, or delete the threads."""
        if isinstance(thread_ids, str):
            raise TypeError("thread_ids must be a sequence of thread ids, not a str")
        self.write("prune", [*thread_ids], strategy=strategy)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return the writes and seeds of channels on the path to a checkpoint."""
        with self.current() as model:
            found = model.history(cast("Mapping[str, Any]", config), channels)
        for entry in found.values():
            entry["writes"] = [(t, c, self.decode(v)) for t, c, v in entry["writes"]]
            if "seed" in entry:
                entry["seed"] = self.decode(entry["seed"])
        return cast("Mapping[str, DeltaChannelHistory]", found)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint."""
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store the writes of a task."""
        self.put_writes(config, writes, task_id, task_path)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint."""
        return self.get_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield the matching checkpoints."""
        for found in self.list(config, filter=filter, before=before, limit=limit):
            yield found

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread."""
        self.delete_thread(thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of some runs."""
        self.delete_for_runs(run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread."""
        self.copy_thread(source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the latest checkpoint of each namespace, or delete the threads."""
        self.prune(thread_ids, strategy=strategy)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return the writes and seeds of channels on the path to a checkpoint."""
        return self.get_delta_channel_history(config=config, channels=channels)


def _where(thread: Any, ns: str | None, identifier: str | None) -> RunnableConfig:
    where = {"thread_id": thread, "checkpoint_ns": ns or ""}
    if identifier is not None:
        where["checkpoint_id"] = identifier
    return {"configurable": where}
