"""`CatchUpSaver`: a saver that moves each thread to another saver on first use."""

from __future__ import annotations

import asyncio
import builtins
import heapq
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from typing_extensions import Self

from langgraph.checkpoint.lmdb.migrate.catching_up import MARKS, CatchUp


class CatchUpSaver(BaseCheckpointSaver[Any]):
    """A saver on two savers: it reads threads from the old one, and writes only to the new one.

    A thread is copied when it is used for the first time. If it changes in the old saver after
    that, for example because another process is not switched yet, the change is copied as long as
    the thread has not changed in the new saver. What is deleted remains deleted. The new saver
    keeps a mark for each thread in a thread of its own, `MARKS_THREAD`. Several threads and
    processes may use savers on the same two stores.

    Args:
        old: The saver with the existing threads. It is only read.
        new: The saver that is written.

    Raises:
        ThreadDivergedError: Raised by every method that uses a thread that changed in both savers.
    """

    MARKS_THREAD = MARKS
    """Id of the thread in the new saver that has the marks. Delete it when the move is complete."""

    def __init__(self, old: BaseCheckpointSaver[Any], new: BaseCheckpointSaver[Any]) -> None:
        super().__init__(serde=new.serde)
        self.old = old
        self.new = new
        self._catch_up = CatchUp(old, new)

    @property
    def config_specs(self) -> Any:
        """The config specs of the new saver."""
        return self.new.config_specs

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> CatchUpSaver:
        """Return a saver on the same savers whose serializers allow more types."""
        return CatchUpSaver(
            self.old.with_allowlist(extra_allowlist), self.new.with_allowlist(extra_allowlist)
        )

    def __enter__(self) -> Self:
        """Return the saver, which the end of the `with` block closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the saver."""
        self.close()

    def close(self) -> None:
        """Close the connections that read the savers' tables. Both savers remain open."""
        self._catch_up.close()

    def get_next_version(self, current: Any, channel: None) -> Any:
        """Return the version after `current`."""
        return self.new.get_next_version(current, channel)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, as the protocol defines it."""
        self._use(config)
        return self.new.get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield checkpoints, as the protocol defines it. Without a config, from both savers."""
        if config is not None:
            self._use(config)
            yield from self.new.list(config, filter=filter, before=before, limit=limit)
            return
        names = self._catch_up.waiting()  # before a list is open: SqliteSaver locks meanwhile
        new, old = self._catch_up.new, self._catch_up.old
        hidden = {*names, MARKS}
        moved = (
            found
            for found in new.list(None, filter=filter, before=before)
            if _thread_id(found.config) not in hidden
        )
        waiting = (
            found
            for found in old.list(None, filter=filter, before=before)
            if _thread_id(found.config) in names
        )
        yield from islice(heapq.merge(moved, waiting, key=_checkpoint_id, reverse=True), limit)

    def threads(self) -> builtins.list[str]:
        """Return the ids of the threads of both savers, without deleted threads, sorted."""
        return self._catch_up.threads()

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint in the new saver."""
        self._use(config, is_write=True)
        return self.new.put(config, checkpoint, metadata, new_versions)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store pending writes in the new saver."""
        self._use(config, is_write=True)
        self.new.put_writes(config, writes, task_id, task_path)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what `DeltaChannel` values are rebuilt from."""
        self._use(config)
        return self.new.get_delta_channel_history(config=config, channels=channels)

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread in the new saver, and never copy it again."""
        self._catch_up.mark_deleted(str(thread_id))
        self.new.delete_thread(thread_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of runs in the new saver, after it has their threads."""
        self._catch_up.use_runs(run_ids)
        self.new.delete_for_runs(run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread within the new saver."""
        self._catch_up.use(str(source_thread_id))
        self._catch_up.use(str(target_thread_id))
        self.new.copy_thread(source_thread_id, target_thread_id)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete old checkpoints of threads in the new saver."""
        self._before_prune(thread_ids, strategy)
        self.new.prune(thread_ids, strategy=strategy)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Async version of `get_tuple`."""
        await self._ause(config)
        return await self.new.aget_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Async version of `list`."""
        if config is not None:
            await self._ause(config)
            async for found in self.new.alist(config, filter=filter, before=before, limit=limit):
                yield found
            return
        self._catch_up.loop = asyncio.get_running_loop()
        both = self.list(None, filter=filter, before=before, limit=limit)
        while (item := await asyncio.to_thread(next, both, None)) is not None:
            yield item

    async def athreads(self) -> builtins.list[str]:
        """Async version of `threads`."""
        found: builtins.list[str] = await self._away(self._catch_up.threads)
        return found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Async version of `put`."""
        if not self._is_used(config):
            checkpoint, metadata = self._snapshot((checkpoint, metadata))
            await self._ause(config, is_write=True)
        return await self.new.aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Async version of `put_writes`."""
        if not self._is_used(config):
            (writes,) = self._snapshot((writes,))
            await self._ause(config, is_write=True)
        await self.new.aput_writes(config, writes, task_id, task_path)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Async version of `get_delta_channel_history`."""
        await self._ause(config)
        return await self.new.aget_delta_channel_history(config=config, channels=channels)

    async def adelete_thread(self, thread_id: str) -> None:
        """Async version of `delete_thread`."""
        await self._away(self._catch_up.mark_deleted, str(thread_id))
        await self.new.adelete_thread(thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Async version of `delete_for_runs`."""
        await self._away(self._catch_up.use_runs, run_ids)
        await self.new.adelete_for_runs(run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Async version of `copy_thread`."""
        await self._away(self._catch_up.use, str(source_thread_id))
        await self._away(self._catch_up.use, str(target_thread_id))
        await self.new.acopy_thread(source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Async version of `prune`."""
        await self._away(self._before_prune, thread_ids, strategy)
        await self.new.aprune(thread_ids, strategy=strategy)

    def _before_prune(self, thread_ids: Sequence[str], strategy: str) -> None:
        for thread_id in [] if isinstance(thread_ids, str) else thread_ids:
            self._catch_up.use(str(thread_id))
            if strategy == "delete":
                self._catch_up.mark_deleted(str(thread_id))

    def _use(self, config: RunnableConfig, *, is_write: bool = False) -> None:
        self._catch_up.use(_thread_id(config), is_write=is_write)

    async def _ause(self, config: RunnableConfig, *, is_write: bool = False) -> None:
        await self._away(self._catch_up.use, _thread_id(config), is_write)

    def _is_used(self, config: RunnableConfig) -> bool:
        return self._catch_up.is_used(_thread_id(config))

    async def _away(self, call: Any, *arguments: Any) -> Any:
        """Call a function in another thread, from which asynchronous savers can be used."""
        self._catch_up.loop = asyncio.get_running_loop()
        return await asyncio.to_thread(call, *arguments)

    def _snapshot(self, values: Any) -> Any:
        """Return a copy of values, which the caller may change while it awaits."""
        return tuple(self.serde.loads_typed(self.serde.dumps_typed(value)) for value in values)


def _thread_id(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])


def _checkpoint_id(found: CheckpointTuple) -> str:
    return str(found.config["configurable"]["checkpoint_id"])
