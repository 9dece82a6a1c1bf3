"""A saver that a migration knows only by the protocol."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver


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
