"""Correct snapshot stores, and stores that hang."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from saver_conformance.snapshots import GivenSnapshot
from saver_conformance.snapshots.spec import FIELDS

if TYPE_CHECKING:
    from pathlib import Path

DISK: dict[Path, dict[str, dict[int, dict[str, Any]]]] = {}
"""What the stores of each folder have."""


class Reference:
    """A correct store: a dict of versions for each task, with data as JSON."""

    def __init__(self, folder: Path) -> None:
        self.tasks = DISK.setdefault(folder, {})
        self.lock = threading.RLock()

    def save(self, snapshot: Any) -> None:
        fields = {name: getattr(snapshot, name) for name in FIELDS}
        with self.lock:
            self.put(self.key(fields["task_id"]), {**fields, "data": self.pack(fields["data"])})

    def get(self, task_id: str, version: int | None = None) -> Any:
        with self.lock:
            versions = self.tasks.get(self.key(task_id), {})
            if version is None:
                version = self.latest(versions)
            fields = versions.get(version)  # type: ignore[arg-type]
            return None if fields is None else self.make(fields)

    def list_versions(self, task_id: str) -> list[int]:
        with self.lock:
            return sorted(self.tasks.get(self.key(task_id), {}))

    def delete(self, task_id: str, version: int | None = None) -> bool:
        with self.lock:
            if version is None:
                return self.tasks.pop(self.key(task_id), None) is not None
            versions = self.tasks.get(self.key(task_id), {})
            found = versions.pop(version, None) is not None
            if not versions:
                self.tasks.pop(self.key(task_id), None)
            return found

    def key(self, task_id: str) -> str:
        return task_id

    def put(self, task_id: str, fields: dict[str, Any]) -> None:
        self.tasks.setdefault(task_id, {})[fields["version"]] = fields

    def latest(self, versions: dict[int, Any]) -> int | None:
        return max(versions, default=None)

    def pack(self, data: Any) -> Any:
        return json.dumps(data)

    def unpack(self, data: Any) -> Any:
        return json.loads(data)

    def make(self, fields: dict[str, Any]) -> Any:
        return GivenSnapshot(**{**fields, "data": self.unpack(fields["data"])})


class AsyncReference:
    """A correct asynchronous store."""

    def __init__(self, folder: Path) -> None:
        self.store = Reference(folder)

    async def save(self, snapshot: Any) -> None:
        self.store.save(snapshot)

    async def get(self, task_id: str, version: int | None = None) -> Any:
        return self.store.get(task_id, version)

    async def list_versions(self, task_id: str) -> list[int]:
        return self.store.list_versions(task_id)

    async def delete(self, task_id: str, version: int | None = None) -> bool:
        return self.store.delete(task_id, version)


class HangsOnGet(Reference):
    """Never returns what was saved."""

    opened: ClassVar[list[Path]] = []

    def __init__(self, folder: Path) -> None:
        self.opened.append(folder)
        super().__init__(folder)

    def get(self, task_id: str, version: int | None = None) -> Any:
        threading.Event().wait()


class HangsOnClose(HangsOnGet):
    """Never closes."""

    get = Reference.get

    def close(self) -> None:
        threading.Event().wait()


class HangsOnAwait(AsyncReference):
    """Never returns what was saved to a coroutine."""

    opened: ClassVar[list[Path]] = []

    def __init__(self, folder: Path) -> None:
        self.opened.append(folder)
        super().__init__(folder)

    async def get(self, task_id: str, version: int | None = None) -> Any:
        await asyncio.Event().wait()
