"""Lanes: group commits beside one another, for stores that commit several transactions at a
time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from zlib import crc32

from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer
from langgraph.checkpoint.lmdb.kv.group_commit import GroupCommit

T = TypeVar("T")


class CommitLanes:
    """The group commits of a key-value store. All operations on one thread are in one lane.

    Args:
        kv: The store. It has as many lanes as it commits transactions at the same time.
    """

    def __init__(self, kv: KeyValueStore) -> None:
        self._lanes = [GroupCommit(kv) for _ in range(kv.lanes)]

    def run(
        self, apply: Callable[[Writer], T], thread_id: str | None, *, can_wait: bool = False
    ) -> T:
        """Commit an operation, as `GroupCommit.run` does.

        Args:
            apply: The operation.
            thread_id: The thread that it changes. None: it changes others, or several.
            can_wait: Wait for an operation that cannot wait.
        """
        if self._has_to_settle(thread_id):
            self.settle()
        return self._lane_of(thread_id).run(apply, can_wait=can_wait)

    async def run_async(
        self,
        apply: Callable[[Writer], T],
        thread_id: str | None,
        *,
        before: Callable[[], None] | None = None,
        can_wait: bool = False,
        detached: bool = False,
    ) -> T:
        """Commit an operation, as `GroupCommit.run_async` does; see `run`."""
        if self._has_to_settle(thread_id):
            await self.settle_async()
        lane = self._lane_of(thread_id)
        return await lane.run_async(apply, before=before, can_wait=can_wait, detached=detached)

    def _has_to_settle(self, thread_id: str | None) -> bool:
        """Return True for an operation that may follow abandoned ones of another lane."""
        return thread_id is None and len(self._lanes) > 1

    def _lane_of(self, thread_id: str | None) -> GroupCommit:
        if thread_id is None:
            return self._lanes[0]
        return self._lanes[crc32(thread_id.encode("utf-8", "surrogatepass")) % len(self._lanes)]

    def settle(self) -> None:
        """Wait as `GroupCommit.settle` does, in every lane."""
        for lane in self._lanes:
            lane.settle()

    async def settle_async(self) -> None:
        """Async version of `settle`."""
        for lane in self._lanes:
            await lane.settle_async()

    def close(self) -> None:
        """End the workers of all lanes, as `GroupCommit.close` does."""
        for lane in self._lanes:
            lane.close()
