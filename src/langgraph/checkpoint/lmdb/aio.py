"""The asynchronous face of the saver: the same operations, awaited.

What is written is serialised before the first await, and committed by another thread while the
loop goes on. Reads are served from the memory map at once; a large one that would hold the loop up
goes to a worker thread.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb import validation, wanted
from langgraph.checkpoint.lmdb.errors import DamagedError, RetryableError
from langgraph.checkpoint.lmdb.kv import workers
from langgraph.checkpoint.lmdb.operations import configs, delete, get, put

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        DeltaChannelHistory,
    )
    from typing_extensions import Self

    from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
    from langgraph.checkpoint.lmdb.operations.session import Session
    from langgraph.checkpoint.lmdb.wanted import Matches

READ_AT_ONCE = 128 * 1024
"""Bytes of values that a coroutine decodes without leaving its thread: about 2 ms of work."""


class AsyncMethods(BaseCheckpointSaver[Any]):
    """The protocol's asynchronous methods, on a core that the synchronous face brings."""

    @property
    def _session(self) -> Session:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await workers.call(self.close)
        except RetryableError:  # there is no other thread to do it
            self.close()

    async def asetup(self) -> None:
        """As `setup`."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        session, ref = self._session, configs.parse_config(config)
        await session.settle()
        found = await get_tuple(session, ref)
        refresh = None if found is None else get.refresh(session, ref.thread_id)
        if refresh is not None:
            with suppress(RetryableError):  # the read itself went well
                await session.run_async(refresh)
        return found

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
        skip_damaged: bool = False,
    ) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""
        session, matches = self._session, wanted.metadata(filter)
        left = wanted.at_most(limit)
        skip = validation.flag(skip_damaged, "skip_damaged")
        await session.settle()
        for ref in get.find_refs(session, config, before, filter, skip):
            if left == 0:
                return
            checkpoint = await get_tuple(session, ref, matches, skip)
            if checkpoint is not None:
                left = None if left is None else left - 1
                yield checkpoint
            await asyncio.sleep(0)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        session = self._session
        return await session.run_async(
            put.PutOperation(session, config, checkpoint, metadata, new_versions)
        )

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As `put_writes`."""
        session = self._session
        await session.run_async(put.PutWritesOperation(session, config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        session = self._session
        await session.run_sequence_async(delete.delete_thread(session, thread_id))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As `delete_for_runs`."""
        session = self._session
        await session.run_sequence_async(delete.delete_for_runs(session, run_ids))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As `copy_thread`."""
        session = self._session
        await session.run_async(delete.copy_thread(session, source_thread_id, target_thread_id))

    async def aprune(
        self,
        thread_ids: Sequence[str],
        *,
        strategy: str = "keep_latest",
        keep_last: int | None = None,
    ) -> None:
        """As `prune`."""
        session = self._session
        await session.run_sequence_async(delete.prune(session, thread_ids, strategy, keep_last))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As `get_delta_channel_history`."""
        return await workers.call(get.delta_channel_history, self._session, config, channels)


async def get_tuple(
    session: Session,
    ref: CheckpointRef,
    matches: Matches | None = None,
    skip_damaged: bool = False,
) -> CheckpointTuple | None:
    """As `reading.get_tuple`, without holding the loop up for long."""
    try:
        return get.get_tuple(session, ref, matches=matches, budget=READ_AT_ONCE)
    except get.BudgetExceededError:
        read = get.get_or_skip if skip_damaged else get.get_tuple
        return await workers.call(read, session, ref, matches=matches)
    except DamagedError as error:
        if not skip_damaged:
            raise
        get.log_skipped(error)
        return None
