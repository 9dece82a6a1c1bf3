"""Synchronous methods for a saver that has only asynchronous ones."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

T = TypeVar("T")


class BlockingSaver(BaseCheckpointSaver[Any]):
    """A saver that runs the methods of another one in an event loop of another thread.

    Args:
        saver: The saver.
        loop: Its event loop.
    """

    def __init__(self, saver: BaseCheckpointSaver[Any], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(serde=saver.serde)
        self._saver = saver
        self._loop = loop

    def get_tuple(self, config: Any) -> CheckpointTuple | None:
        return self._wait(self._saver.aget_tuple(config))

    def list(self, config: Any, **options: Any) -> Iterator[CheckpointTuple]:
        found = self._saver.alist(config, **options)
        while True:
            try:
                item = self._wait(_next(found))
            except _EndError:
                return
            yield item

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        return self._wait(self._saver.aput(config, checkpoint, metadata, new_versions))

    def put_writes(
        self, config: Any, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self._wait(self._saver.aput_writes(config, writes, task_id, task_path))

    def get_next_version(self, current: Any, channel: None) -> Any:
        return self._saver.get_next_version(current, channel)

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()


class _EndError(Exception):
    """The end of an asynchronous iterator."""


async def _next(iterator: Any) -> Any:
    try:
        return await iterator.__anext__()
    except StopAsyncIteration:
        raise _EndError from None
