"""A saver that only keeps references. It measures the cost of the graph itself."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langchain_core.runnables import RunnableConfig


class ReferenceSaver(BaseCheckpointSaver[int]):
    """A saver that keeps the objects: nothing is serialized, copied or isolated."""

    def __init__(self) -> None:
        super().__init__()
        self._threads: defaultdict[tuple[str, str], dict[str, CheckpointTuple]] = defaultdict(dict)
        self._writes: defaultdict[tuple[str, str, str], list[tuple[str, str, Any]]] = defaultdict(
            list
        )

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread = self._threads[_thread(config)]
        wanted = config["configurable"].get("checkpoint_id")
        if wanted:
            return self._with_writes(thread.get(wanted))
        return self._with_writes(next(reversed(thread.values()), None))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        threads = [self._threads[_thread(config)]] if config else self._threads.values()
        newest_first = chain.from_iterable(reversed(thread.values()) for thread in threads)
        for found in islice(newest_first, limit):
            whole = self._with_writes(found)
            assert whole is not None
            yield whole

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, checkpoint_ns = thread = _thread(config)
        stored: RunnableConfig = {
            "configurable": {
                "thread_id": thread_id,
                "checkpoint_ns": checkpoint_ns,
                "checkpoint_id": checkpoint["id"],
            }
        }
        parent = config if config["configurable"].get("checkpoint_id") else None
        self._threads[thread][checkpoint["id"]] = CheckpointTuple(
            stored, checkpoint, metadata, parent
        )
        return stored

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        key = (*_thread(config), config["configurable"]["checkpoint_id"])
        self._writes[key] += [(task_id, channel, value) for channel, value in writes]

    def _with_writes(self, found: CheckpointTuple | None) -> CheckpointTuple | None:
        if found is None:
            return None
        key = (*_thread(found.config), found.checkpoint["id"])
        return found._replace(pending_writes=self._writes.get(key, []))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self.get_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for found in self.list(config, filter=filter, before=before, limit=limit):
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        self.put_writes(config, writes, task_id, task_path)


def _thread(config: RunnableConfig) -> tuple[str, str]:
    configurable = config["configurable"]
    return configurable["thread_id"], configurable.get("checkpoint_ns", "")
