"""Snapshots and stores for the tests."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.snapshots import AsyncLmdbSnapshotStore, StateSnapshot

if TYPE_CHECKING:
    from typing_extensions import Self

TIME = datetime(2026, 11, 28, 9, 30, 15, 123456, timezone(timedelta(hours=2)))


def snapshot(
    version: int = 1, data: dict[str, Any] | None = None, task_id: str = "task", **fields: Any
) -> StateSnapshot:
    """Return a snapshot."""
    return StateSnapshot(
        **{
            "id": f"{task_id}-{version}",
            "task_id": task_id,
            "version": version,
            "data": {"step": version} if data is None else data,
            "created_at": TIME,
            **fields,
        }
    )


def growing(version: int, size: int = 1000) -> dict[str, Any]:
    """Return data that grow by an item of about `size` bytes a version."""
    items = [{"step": step, "text": f"{step:04}-" * (size // 5)} for step in range(1, version + 1)]
    return {"step": version, "items": items, "done": False}


class Blocking:
    """The methods of an asynchronous store, each in an event loop of its own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.store = AsyncLmdbSnapshotStore(*arguments, **options)

    def save(self, snapshot: Any) -> None:
        asyncio.run(self.store.save(snapshot))

    def get(self, task_id: str, version: int | None = None) -> Any:
        return asyncio.run(self.store.get(task_id, version))

    def list_versions(self, task_id: str) -> list[int]:
        return asyncio.run(self.store.list_versions(task_id))

    def delete(self, task_id: str, version: int | None = None) -> bool:
        return asyncio.run(self.store.delete(task_id, version))

    def sweep(self, *arguments: Any, **options: Any) -> Any:
        return asyncio.run(self.store.sweep(*arguments, **options))

    def close(self) -> None:
        asyncio.run(self.store.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
