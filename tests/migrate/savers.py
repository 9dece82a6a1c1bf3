"""Savers that a migration knows only by the protocol, and a saver that spoils what it stores."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver


class AsyncPlainSaver(BaseCheckpointSaver[str]):
    """A saver in memory with the asynchronous methods of the protocol and no others."""

    def __init__(self, *, serde: Any = None) -> None:
        super().__init__(serde=serde)
        self.inner = InMemorySaver(serde=serde)

    async def aget_tuple(self, config: Any) -> Any:
        return await asyncio.to_thread(self.inner.get_tuple, config)

    async def alist(self, config: Any, **options: Any) -> Any:
        for found in self.inner.list(config, **options):
            yield found

    async def aput(self, *arguments: Any) -> Any:
        return await asyncio.to_thread(self.inner.put, *arguments)

    async def aput_writes(self, *arguments: Any) -> None:
        await asyncio.to_thread(self.inner.put_writes, *arguments)

    def get_next_version(self, current: Any, channel: None) -> Any:
        return self.inner.get_next_version(current, channel)


class SpoilingSaver(InMemorySaver):
    """A saver that stores something else than it receives."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        checkpoint, metadata = copy.deepcopy((checkpoint, metadata))
        if self._part == "parent":
            config["configurable"].pop("checkpoint_id", None)
        elif self._part == "metadata":
            metadata["step"] = True
        elif self._part == "checkpoint['ts']":
            checkpoint["ts"] = "2000-01-01T00:00:00+00:00"
        elif self._part == "channel 'a'":
            checkpoint["channel_values"]["a"] = True
        elif self._part == "checkpoint":
            return config
        return super().put(config, checkpoint, metadata, new_versions)

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        if self._part == "writes of task 'task'":
            writes = writes[:-1]
        super().put_writes(config, writes, task_id, task_path)


class PlainSaver(BaseCheckpointSaver[str]):
    """A saver in memory with the methods of the protocol and no others."""

    def __init__(self, *, serde: Any = None) -> None:
        super().__init__(serde=serde)
        self._inner = InMemorySaver(serde=serde)

    def get_tuple(self, config: Any) -> Any:
        return self._inner.get_tuple(config)

    def list(self, config: Any, **options: Any) -> Any:
        return self._inner.list(config, **options)

    def put(self, *arguments: Any) -> Any:
        return self._inner.put(*arguments)

    def put_writes(self, *arguments: Any) -> None:
        self._inner.put_writes(*arguments)

    def get_delta_channel_history(self, **arguments: Any) -> Any:
        return self._inner.get_delta_channel_history(**arguments)

    def get_next_version(self, current: Any, channel: None) -> Any:
        return self._inner.get_next_version(current, channel)
