"""Checkpoints without a graph, for workloads that call the saver directly."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata
from langgraph.checkpoint.base.id import uuid6

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver

CHANNEL = "text"


class ThreadWriter:
    """A writer of one thread. Each checkpoint is the child of the one before."""

    def __init__(self, saver: BaseCheckpointSaver[Any], thread_id: str) -> None:
        self._saver = saver
        self._version: Any = None
        self._step = -1
        self.config: RunnableConfig = {
            "configurable": {"thread_id": thread_id, "checkpoint_ns": ""}
        }

    @classmethod
    def resume(cls, saver: BaseCheckpointSaver[Any], thread_id: str) -> ThreadWriter:
        """Return a writer that continues an existing thread."""
        writer = cls(saver, thread_id)
        found = saver.get_tuple(writer.config)
        assert found is not None, f"no thread {thread_id}"
        writer.config = found.config
        writer._version = found.checkpoint["channel_versions"][CHANNEL]
        writer._step = found.metadata["step"]
        return writer

    def put(self, text: str, run_id: str = "") -> None:
        """Store a checkpoint with this text in its only channel."""
        self.put_values({CHANNEL: text}, run_id)

    def put_values(self, values: dict[str, Any], run_id: str = "") -> None:
        """Store a checkpoint with these values of its channels, all of them new."""
        self._version = self._saver.get_next_version(self._version, None)
        self._step += 1
        versions = dict.fromkeys(values, self._version)
        checkpoint = Checkpoint(
            v=4,
            id=str(uuid6(clock_seq=self._step)),
            ts=datetime.now(timezone.utc).isoformat(),
            channel_values=values,
            channel_versions=versions,
            versions_seen={"__input__": {}, "node": dict(versions)},
            updated_channels=list(values),
        )
        metadata = CheckpointMetadata(source="loop", step=self._step, parents={}, run_id=run_id)
        self.config = self._saver.put(self.config, checkpoint, metadata, versions)

    def put_writes(self, text: str) -> None:
        """Store a pending write for the latest checkpoint."""
        self._saver.put_writes(self.config, [(CHANNEL, text)], task_id=f"task-{self._step}")
