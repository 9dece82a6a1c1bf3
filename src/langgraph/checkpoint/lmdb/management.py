"""What `LmdbSaver` has beyond LangGraph's protocol: history, threads and retention.

Each method has an asynchronous twin that does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.aio import get_tuple
from langgraph.checkpoint.lmdb.kv import workers
from langgraph.checkpoint.lmdb.operations import delete, get, retention, threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import datetime

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import CheckpointTuple

    from langgraph.checkpoint.lmdb.engine.branches import Branch
    from langgraph.checkpoint.lmdb.operations.retention import SweepReport
    from langgraph.checkpoint.lmdb.operations.session import Session
    from langgraph.checkpoint.lmdb.operations.threads import StoreStats, ThreadInfo


class Management(BaseCheckpointSaver[Any]):
    """The methods that LangGraph does not call, on a core that the saver brings."""

    @property
    def _session(self) -> Session:
        raise NotImplementedError

    def history(
        self, config: RunnableConfig, *, skip_damaged: bool = False
    ) -> Iterator[CheckpointTuple]:
        """A checkpoint, its parent, and so on to the first: what led to it, other branches not.

        Args:
            config: Leads to the checkpoint, as for `get_tuple`.
            skip_damaged: Leave out, with a warning in the log, checkpoints with values that cannot
                be read. One whose parent cannot be told ends the line.

        Raises:
            DamagedError: A checkpoint is damaged, unless such are to be left out.
        """
        session = self._session
        validation.flag(skip_damaged, "skip_damaged")
        read = get.get_or_skip if skip_damaged else get.get_tuple
        for ref in threads.lineage(session, config, skip_damaged):
            found = read(session, ref, matches=None)
            if found is not None:
                yield found

    async def ahistory(
        self, config: RunnableConfig, *, skip_damaged: bool = False
    ) -> AsyncIterator[CheckpointTuple]:
        """As `history`."""
        session = self._session
        validation.flag(skip_damaged, "skip_damaged")
        await session.settle()
        for ref in threads.lineage(session, config, skip_damaged):
            found = await get_tuple(session, ref, skip_damaged=skip_damaged)
            if found is not None:
                yield found

    def children(self, config: RunnableConfig) -> list[CheckpointTuple]:
        """The checkpoints whose parent is the one that a config leads to, by descending id."""
        session = self._session
        found = (get.get_tuple(session, ref) for ref in threads.children(session, config))
        return [child for child in found if child is not None]

    async def achildren(self, config: RunnableConfig) -> list[CheckpointTuple]:
        """As `children`."""
        session = self._session
        await session.settle()
        found = [await get_tuple(session, ref) for ref in threads.children(session, config)]
        return [child for child in found if child is not None]

    def branches(self, thread_id: str, checkpoint_ns: str = "") -> list[Branch]:
        """The lines of checkpoints of a namespace: each ends in one without children.

        Looks at the keys of the namespace's checkpoints, not at the checkpoints.

        Returns:
            For each, by descending id of its tip: `tip`; `fork_point`, the nearest ancestor that
            other lines share, or None; `length`, the checkpoints behind that; and `depth`, the
            checkpoints from the first one on.
        """
        return threads.branches(self._session, thread_id, checkpoint_ns)

    async def abranches(self, thread_id: str, checkpoint_ns: str = "") -> list[Branch]:
        """As `branches`."""
        return await workers.call(self.branches, thread_id, checkpoint_ns)

    def fork(self, config: RunnableConfig, thread_id: str) -> RunnableConfig:
        """Make a new thread of a checkpoint and its ancestors, with their pending writes and what
        subgraphs stored that were called from them. Values are shared with the source.

        Args:
            config: Leads to a checkpoint of the root namespace; to the latest one if it names none.
            thread_id: The new thread.

        Returns:
            The config that leads to the checkpoint in the new thread.

        Raises:
            CheckpointNotFoundError: There is no such checkpoint.
            ThreadExistsError: The new thread has checkpoints.
            InvalidConfigError: The config names another namespace, or no thread.
        """
        session = self._session
        return session.run(delete.fork(session, config, thread_id))

    async def afork(self, config: RunnableConfig, thread_id: str) -> RunnableConfig:
        """As `fork`."""
        session = self._session
        return await session.run_async(delete.fork(session, config, thread_id))

    def threads(
        self,
        prefix: str | None = None,
        updated_after: datetime | float | None = None,
        updated_before: datetime | float | None = None,
        limit: int | None = None,
        after: ThreadInfo | str | None = None,
        *,
        skip_damaged: bool = False,
    ) -> list[ThreadInfo]:
        """The threads with checkpoints, the one that was active last first.

        Args:
            prefix: What their ids begin with.
            updated_after: Only those that were active after that moment: seconds since the epoch,
                or a datetime with a time zone.
            updated_before: Only those that were not active at that moment or later.
            limit: At most so many.
            after: Where the last page ended: what it gave last, or the id of that thread.
            skip_damaged: Leave out, with a warning in the log, threads that cannot be read. That
                takes a look at every thread.

        Raises:
            UsageError: The limit is no whole number, or a moment is none.
            ThreadNotFoundError: `after` is the id of a thread that is gone.
            DamagedError: A thread cannot be read.
        """
        return threads.threads(
            self._session, prefix, updated_after, updated_before, limit, after, skip_damaged
        )

    async def athreads(
        self,
        prefix: str | None = None,
        updated_after: datetime | float | None = None,
        updated_before: datetime | float | None = None,
        limit: int | None = None,
        after: ThreadInfo | str | None = None,
        *,
        skip_damaged: bool = False,
    ) -> list[ThreadInfo]:
        """As `threads`."""
        return await workers.call(
            self.threads,
            prefix,
            updated_after,
            updated_before,
            limit,
            after,
            skip_damaged=skip_damaged,
        )

    def stats(self) -> StoreStats:
        """How much the store holds: counts that it keeps, and its size on disk."""
        return threads.stats(self._session)

    async def astats(self) -> StoreStats:
        """As `stats`."""
        await self._session.settle()
        return self.stats()

    def set_ttl(self, thread_id: str, minutes: float | None) -> None:
        """Give a thread a time to live of its own, from its last activity on.

        Args:
            thread_id: The thread.
            minutes: Fractions are allowed; None: it never expires.

        Raises:
            ThreadNotFoundError: There is no such thread.
            UsageError: `minutes` is not above 0, or cannot be meant.
        """
        session = self._session
        session.run(retention.set_ttl(session, thread_id, minutes))

    async def aset_ttl(self, thread_id: str, minutes: float | None) -> None:
        """As `set_ttl`."""
        session = self._session
        await session.run_async(retention.set_ttl(session, thread_id, minutes))

    def sweep(
        self,
        now: datetime | float | None = None,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> SweepReport:
        """Remove what is past its time by the saver's `ttl` and by `set_ttl`.

        Works in small transactions: writers go on meanwhile, and one that is stopped leaves nothing
        half done. Looks at nothing but what is due.

        Args:
            now: The moment to go by: seconds since the epoch, or a datetime with a time zone; the
                saver's clock unless told.
            limit: How many threads to sweep at most.
            dry_run: Change nothing, and report what would go.
        """
        session = self._session
        return session.run_sequence(retention.sweep(session, now, limit, dry_run))

    async def asweep(
        self,
        now: datetime | float | None = None,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> SweepReport:
        """As `sweep`."""
        session = self._session
        return await session.run_sequence_async(retention.sweep(session, now, limit, dry_run))
