"""A blocking driver of the sync or async methods of a saver.

A contract test is written once, with `SaverDriver`, and runs with both.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.base import Checkpoint

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        BaseCheckpointSaver,
        CheckpointMetadata,
        CheckpointTuple,
        DeltaChannelHistory,
    )

    from langgraph.checkpoint.lmdb.models import TaskWrite

_numbers = itertools.count()
on_files = pytest.mark.parametrize("driver", ["sync", "async", "plain"], indirect=True)
"""Runs a test that looks into the files of a store."""


class SaverDriver:
    """A driver of a saver's sync methods, or of its async methods if it has a loop."""

    def __init__(
        self, saver: BaseCheckpointSaver[Any], loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.saver = saver
        self.loop = loop

    def on(self, saver: BaseCheckpointSaver[Any]) -> SaverDriver:
        """Return a driver of the same kind for another saver."""
        return SaverDriver(saver, self.loop)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: dict[str, Any],
    ) -> RunnableConfig:
        return self._call("put", config, checkpoint, metadata, new_versions)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        self._call("put_writes", config, writes, task_id, task_path)

    def task_writes(self, config: RunnableConfig) -> list[TaskWrite]:
        return self._call("writes", config)

    def get(self, config: RunnableConfig) -> Checkpoint | None:
        return self._call("get", config)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._call("get_tuple", config)

    def list(self, config: RunnableConfig | None, **options: Any) -> list[CheckpointTuple]:
        if self.loop is None:
            return [*self.saver.list(config, **options)]

        async def collect() -> list[CheckpointTuple]:
            return [one async for one in self.saver.alist(config, **options)]

        return self.loop.run_until_complete(collect())

    def delete_thread(self, thread_id: str) -> None:
        self._call("delete_thread", thread_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        self._call("delete_for_runs", run_ids)

    def copy_thread(self, source: str, target: str) -> None:
        self._call("copy_thread", source, target)

    def prune(self, thread_ids: Sequence[str], **options: Any) -> None:
        self._call("prune", thread_ids, **options)

    def delta_history(
        self, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return self._call("get_delta_channel_history", config=config, channels=channels)

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        if self.loop is None:
            return getattr(self.saver, name)(*args, **options)
        return self.loop.run_until_complete(getattr(self.saver, f"a{name}")(*args, **options))


def fresh_thread() -> str:
    """Return a thread id that no other test or example uses."""
    return f"thread-{next(_numbers)}"


def config(thread: Any = "t", ns: str | None = "", id: str | None = None) -> RunnableConfig:
    """Return the config of a checkpoint or of the latest one; `ns=None` omits the key."""
    keys = {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id}
    return {"configurable": {key: value for key, value in keys.items() if value is not None}}


def checkpoint(id: str, values: dict[str, Any], versions: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        v=4,
        id=id,
        ts="2026-01-01T00:00:00+00:00",
        channel_values=values,
        channel_versions=versions,
        versions_seen={},
        updated_channels=None,
    )


def put(
    driver: SaverDriver,
    id: str,
    values: dict[str, Any] | None = None,
    *,
    thread: Any = "t",
    ns: str | None = "",
    parent: str | None = None,
    versions: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    **metadata: Any,
) -> RunnableConfig:
    """Put a checkpoint. By default, the version of each value is the checkpoint's id."""
    values = values or {}
    versions = dict.fromkeys(values, id) if versions is None else versions
    return driver.put(
        config(thread, ns, parent),
        checkpoint(id, values, versions),
        {"source": "loop", "step": 1, "parents": {}, **metadata},
        versions if new is None else new,
    )


def put_chain(driver: SaverDriver, ids: Sequence[str], **options: Any) -> list[RunnableConfig]:
    """Put a chain of checkpoints, each with a value of its own."""
    parents = [None, *ids[:-1]]
    return [
        put(driver, cid, {"value": f"value of {cid}"}, parent=parent, **options)
        for cid, parent in zip(ids, parents, strict=True)
    ]


def values(driver: SaverDriver, at: RunnableConfig) -> dict[str, Any]:
    """Return the channel values of a checkpoint, which must exist."""
    got = driver.get(at)
    assert got is not None, f"no checkpoint at {at}"
    return got["channel_values"]


def writes(driver: SaverDriver, at: RunnableConfig) -> list[tuple[str, str, Any]]:
    """Return the pending writes of a checkpoint, which must exist."""
    got = driver.get_tuple(at)
    assert got is not None, f"no checkpoint at {at}"
    return [*(got.pending_writes or [])]


def ids(tuples: Sequence[CheckpointTuple]) -> list[str]:
    return [one.config["configurable"]["checkpoint_id"] for one in tuples]


def identical(one: Any, other: Any) -> bool:
    """Return True for equal values with equal types and key order. NaN equals itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            identical(pair, twin) for pair, twin in zip(one.items(), other.items(), strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(identical, one, other))
    if isinstance(one, float):
        return repr(one) == repr(other)
    return bool(one == other)
