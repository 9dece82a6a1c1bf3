"""The asynchronous methods of a saver: the operations of its synchronous methods, awaited.

Values are serialized before the first await. Another thread commits them while the event loop
continues. Small reads are served from the memory map in the loop's thread, large ones in a worker
thread. Long tasks run in a worker thread to their end, also if the awaiting task is cancelled.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import (
    AsyncIterator,
    Collection,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, NoReturn

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

from langgraph.checkpoint.lmdb.encryption.key_source import EncryptionKey
from langgraph.checkpoint.lmdb.errors import DamagedError, RetryableError
from langgraph.checkpoint.lmdb.kv import workers
from langgraph.checkpoint.lmdb.kv.base import Progress
from langgraph.checkpoint.lmdb.models import (
    Branch,
    StoreStats,
    SweepReport,
    TaskWrite,
    ThreadInfo,
    ThreadSort,
    VerifyReport,
)
from langgraph.checkpoint.lmdb.operations import (
    configs,
    copying,
    delete,
    get,
    listing,
    maintenance,
    put,
    retention,
    threads,
)
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
from langgraph.checkpoint.lmdb.operations.session import Session
from langgraph.checkpoint.lmdb.run_state import State

MAX_INLINE_READ = 128 * 1024
"""Bytes of values that a coroutine decodes in the loop's thread: about 2 ms of work."""


class AsyncMethods(BaseCheckpointSaver[Any]):
    """A base class with every asynchronous method of a saver."""

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
        except RetryableError:  # no worker thread could be started
            self.close()

    async def asetup(self) -> None:
        """Async version of `setup`."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Async version of `get_tuple`."""
        session, ref = self._session, configs.parse_config(config)
        await session.settle()
        found = await _get_tuple(session, ref, listing.Query())
        refresh = None if found is None else get.refresh(session, ref.thread_id)
        if refresh is not None:
            with suppress(RetryableError):  # the read itself succeeded
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
        values: bool = True,
    ) -> AsyncIterator[CheckpointTuple]:
        """Async version of `list`."""
        session = self._session
        query = listing.parse_query(config, filter, before, limit, skip_damaged, values)
        await session.settle()
        left = query.limit
        if left == 0:
            return
        async for found in _read(session, listing.find_refs(session, query), query):
            yield found
            left = None if left is None else left - 1
            if left == 0:
                return

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Async version of `put`."""
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
        """Async version of `put_writes`."""
        session = self._session
        await session.run_async(put.PutWritesOperation(session, config, writes, task_id, task_path))

    async def awrites(self, config: RunnableConfig) -> list[TaskWrite]:
        """Async version of `writes`."""
        return await workers.call(get.writes, self._session, configs.parse_config(config))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Async version of `get_delta_channel_history`."""
        return await workers.call(get.delta_channel_history, self._session, config, channels)

    async def ahistory(
        self, config: RunnableConfig, *, skip_damaged: bool = False, values: bool = True
    ) -> AsyncIterator[CheckpointTuple]:
        """Async version of `history`."""
        session = self._session
        query = listing.parse_query(None, None, None, None, skip_damaged, values)
        await session.settle()
        async for found in _read(session, threads.lineage(session, config, skip_damaged), query):
            yield found

    async def achildren(self, config: RunnableConfig) -> list[CheckpointTuple]:
        """Async version of `children`."""
        session = self._session
        await session.settle()
        refs = iter(threads.children(session, config))
        return [child async for child in _read(session, refs, listing.Query())]

    async def abranches(self, thread_id: str, checkpoint_ns: str = "") -> list[Branch]:
        """Async version of `branches`."""
        return await workers.call(threads.branches, self._session, thread_id, checkpoint_ns)

    async def afork(self, config: RunnableConfig, thread_id: str) -> RunnableConfig:
        """Async version of `fork`."""
        session = self._session
        return await session.run_async(copying.fork(session, config, thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Async version of `copy_thread`."""
        session = self._session
        await session.run_async(copying.copy_thread(session, source_thread_id, target_thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        """Async version of `delete_thread`."""
        session = self._session
        await session.run_sequence_async(delete.delete_thread(session, thread_id))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Async version of `delete_for_runs`."""
        session = self._session
        await session.run_sequence_async(delete.delete_for_runs(session, run_ids))

    async def aprune(
        self,
        thread_ids: Sequence[str],
        *,
        strategy: str = "keep_latest",
        keep_last: int | None = None,
    ) -> None:
        """Async version of `prune`."""
        session = self._session
        await session.run_sequence_async(delete.prune(session, thread_ids, strategy, keep_last))

    async def athreads(
        self,
        prefix: str | None = None,
        updated_after: datetime | float | None = None,
        updated_before: datetime | float | None = None,
        limit: int | None = None,
        after: ThreadInfo | str | None = None,
        *,
        state: State | Collection[State] | None = None,
        sort: ThreadSort = "updated",
        reverse: bool = False,
        details: bool = True,
        skip_damaged: bool = False,
    ) -> list[ThreadInfo]:
        """Async version of `threads`."""
        query = threads.parse_query(
            prefix,
            updated_after,
            updated_before,
            limit,
            state,
            sort,
            reverse,
            details,
            skip_damaged,
        )
        return await workers.call(threads.threads, self._session, query, after)

    async def astats(self) -> StoreStats:
        """Async version of `stats`."""
        session = self._session
        await session.settle()
        return threads.stats(session)

    async def aset_ttl(self, thread_id: str, minutes: float | None) -> None:
        """Async version of `set_ttl`."""
        session = self._session
        await session.run_async(retention.set_ttl(session, thread_id, minutes))

    async def asweep(
        self,
        now: datetime | float | None = None,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> SweepReport:
        """Async version of `sweep`."""
        session = self._session
        return await session.run_sequence_async(retention.sweep(session, now, limit, dry_run))

    async def abackup(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """Async version of `backup`; `progress` is called in another thread."""
        await workers.call(maintenance.backup, self._session, path, progress)

    async def acompact(self) -> int:
        """Async version of `compact`."""
        return await workers.call(maintenance.compact, self._session)

    async def averify(
        self, *, repair: bool = False, progress: Progress | None = None
    ) -> VerifyReport:
        """Async version of `verify`; `progress` is called in another thread."""
        return await workers.call(maintenance.verify, self._session, repair, progress)

    async def arotate_key(self, new_key: EncryptionKey) -> None:
        """Async version of `rotate_key`."""
        session = self._session
        await session.run_sequence_async(maintenance.rotate_key(session, new_key))

    async def acopy_store(
        self, path: str | os.PathLike[str], *, encryption_key: EncryptionKey | None
    ) -> None:
        """Async version of `copy_store`."""
        await workers.call(maintenance.copy_store, self._session, path, encryption_key)


async def _read(
    session: Session, refs: Iterator[CheckpointRef], query: listing.Query
) -> AsyncIterator[CheckpointTuple]:
    """Async version of `listing.read`, which does not block the event loop for long."""
    if session.kv.is_remote:
        pages = listing.read_pages(session, refs, query)
        while (page := await workers.call(next, pages, None)) is not None:
            for found in page:
                yield found
        return
    for ref in refs:
        one = await _get_tuple(session, ref, query)
        if one is not None:
            yield one
        await asyncio.sleep(0)


async def _get_tuple(
    session: Session, ref: CheckpointRef, query: listing.Query
) -> CheckpointTuple | None:
    """Async version of `listing.read_one`."""
    if session.kv.is_remote:
        return await workers.call(listing.read_one, session, ref, query)
    matches, values = query.matches, query.values
    try:
        return get.get_tuple(session, ref, matches=matches, values=values, budget=MAX_INLINE_READ)
    except get.BudgetExceededError:
        return await workers.call(listing.read_one, session, ref, query)
    except DamagedError as error:
        if not query.skip_damaged:
            raise
        get.log_skipped(error)
        return None


class Ready(Coroutine[Any, Any, None]):
    """A coroutine that has already finished, so that it need not be awaited."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield

    def send(self, value: Any) -> NoReturn:  # noqa: ARG002 - the protocol's
        raise StopIteration

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> NoReturn:
        error = kind if value is None else value
        raise error if trace is None else error.with_traceback(trace)

    def close(self) -> None:
        pass
