"""Snapshot stores, each with one fault in tasks, versions or methods; the table of all mutants."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import snapshot_data_mutants  # noqa: F401 - registers its mutants
from snapshot_registry import MUTANTS, mutant
from snapshot_stores import DISK, AsyncReference, Reference

if TYPE_CHECKING:
    from pathlib import Path


def snapshot_table() -> list[str]:
    """Return the lines about the mutants of snapshot stores in MUTANTS.md."""
    rows = [
        f"| {name} | {mutant.fault} | {', '.join(f'`{check}`' for check in mutant.kills)} |"
        for name, mutant in MUTANTS.items()
    ]
    return [
        "## Snapshot stores",
        "",
        "Each mutant is a correct snapshot store with one deliberate fault. The checks of",
        f"`saver_conformance.snapshots` that are listed kill it: all {len(rows)} are killed.",
        "",
        "| mutant | fault | checks |",
        "|---|---|---|",
        *rows,
    ]


@mutant("model")
class LatestIsTheLastSaved(Reference):
    """Takes the version that was saved last for the latest."""

    def put(self, task_id: str, fields: dict[str, Any]) -> None:
        self.tasks.get(task_id, {}).pop(fields["version"], None)
        super().put(task_id, fields)

    def latest(self, versions: dict[int, Any]) -> int | None:
        return [*versions][-1] if versions else None


@mutant("model", "many_versions")
class VersionsSortAsTexts(Reference):
    """Sorts versions as texts."""

    def list_versions(self, task_id: str) -> list[int]:
        return sorted(self.tasks.get(task_id, {}), key=str)


@mutant("model")
class LatestOfTexts(Reference):
    """Takes the greatest text for the latest version."""

    def latest(self, versions: dict[int, Any]) -> int | None:
        return max(versions, key=str, default=None)


@mutant("model")
class DescendingVersions(Reference):
    """Lists versions in descending order."""

    def list_versions(self, task_id: str) -> list[int]:
        return super().list_versions(task_id)[::-1]


@mutant("model")
class FirstSaveWins(Reference):
    """Ignores a second save of a version."""

    def put(self, task_id: str, fields: dict[str, Any]) -> None:
        self.tasks.setdefault(task_id, {}).setdefault(fields["version"], fields)


@mutant("model")
class OlderVersionsAreIgnored(Reference):
    """Ignores a version that is lower than the latest."""

    def put(self, task_id: str, fields: dict[str, Any]) -> None:
        if fields["version"] >= max(self.tasks.get(task_id, {}), default=0):
            super().put(task_id, fields)


@mutant("many_versions")
class DeleteOfAVersionDeletesLaterOnes(Reference):
    """Deletes all versions from the given one on."""

    def delete(self, task_id: str, version: int | None = None) -> bool:
        found = version in self.tasks.get(task_id, {})
        if found and version is not None:
            for later in [v for v in self.tasks[task_id] if v > version]:
                super().delete(task_id, later)
        return super().delete(task_id, version)


@mutant("model", "many_versions")
class DeleteOfAVersionDeletesTheTask(Reference):
    """Deletes the whole task for one version."""

    def delete(self, task_id: str, version: int | None = None) -> bool:
        return super().delete(task_id)


@mutant("model")
class DeleteAlwaysSucceeds(Reference):
    """Returns True although there was nothing to delete."""

    def delete(self, task_id: str, version: int | None = None) -> bool:
        super().delete(task_id, version)
        return True


@mutant("model")
class DeleteReturnsNothing(Reference):
    """Returns None in place of True."""

    def delete(self, task_id: str, version: int | None = None) -> Any:
        super().delete(task_id, version)


@mutant("model")
class DeleteKeepsTheLatest(Reference):
    """Keeps the latest version of a deleted task."""

    def delete(self, task_id: str, version: int | None = None) -> bool:
        latest = self.latest(self.tasks.get(task_id, {}))
        kept = None if latest is None else self.tasks[task_id][latest]
        found = super().delete(task_id, version)
        if version is None and kept is not None:
            self.put(task_id, kept)
        return found


@mutant("model")
class DeletedLatestIsRemembered(Reference):
    """Returns None for the latest after the latest version was deleted."""

    def delete(self, task_id: str, version: int | None = None) -> bool:
        is_latest = version is not None and version == self.latest(self.tasks.get(task_id, {}))
        found = super().delete(task_id, version)
        if is_latest and task_id in self.tasks:
            self.tasks[task_id][0] = None  # type: ignore[assignment]
        return found

    def latest(self, versions: dict[int, Any]) -> int | None:
        return 0 if 0 in versions else super().latest(versions)

    def list_versions(self, task_id: str) -> list[int]:
        return [version for version in super().list_versions(task_id) if version]


@mutant("model")
class MissingVersionReadsAsTheLatest(Reference):
    """Returns the latest for a version that does not exist."""

    def get(self, task_id: str, version: int | None = None) -> Any:
        return super().get(task_id, version) or super().get(task_id)


@mutant("model")
class VersionZeroIsTheLatest(Reference):
    """Takes version 0 for no version."""

    def get(self, task_id: str, version: int | None = None) -> Any:
        return super().get(task_id, version or None)


@mutant("model")
class NearestVersion(Reference):
    """Returns the nearest lower version in place of None."""

    def get(self, task_id: str, version: int | None = None) -> Any:
        lower = [v for v in self.tasks.get(task_id, {}) if version and v <= version]
        return super().get(task_id, max(lower, default=version))


@mutant("model", "tasks_apart")
class TasksIgnoreCase(Reference):
    """Takes ids that differ in their case for one task."""

    def key(self, task_id: str) -> str:
        return task_id.lower()


@mutant("tasks_apart")
class LongIdsAreCut(Reference):
    """Takes ids with the same first 200 characters for one task."""

    def key(self, task_id: str) -> str:
        return task_id[:200]


@mutant("tasks_apart")
class IdsAreStripped(Reference):
    """Ignores spaces at the ends of ids."""

    def key(self, task_id: str) -> str:
        return task_id.strip()


@mutant("tasks_apart")
class DeleteByPrefix(Reference):
    """Deletes the tasks whose ids begin with the given one."""

    def delete(self, task_id: str, version: int | None = None) -> bool:
        if version is None:
            for other in [name for name in self.tasks if name.startswith(task_id + "%")]:
                super().delete(other)
        return super().delete(task_id, version)


@mutant("model")
class LosesEverythingOnReopen(Reference):
    """Begins empty whenever it is opened."""

    def __init__(self, folder: Path) -> None:
        DISK.pop(folder, None)
        super().__init__(folder)


@mutant("model")
class KeepsTheLatestOnReopen(Reference):
    """Has only the latest version of each task after it was opened again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for versions in self.tasks.values():
            for version in sorted(versions)[:-1]:
                del versions[version]


@mutant("many_versions", "concurrent")
class KeepsTwentyVersions(Reference):
    """Keeps the last twenty versions only."""

    def put(self, task_id: str, fields: dict[str, Any]) -> None:
        super().put(task_id, fields)
        for version in sorted(self.tasks[task_id])[:-20]:
            del self.tasks[task_id][version]


@mutant("many_versions")
class DeltasOfDeletedVersions(Reference):
    """Stores a change to the version before, which is lost with that version."""

    def delete(self, task_id: str, version: int | None = None) -> bool:
        found = super().delete(task_id, version)
        after = self.tasks.get(task_id, {}).get((version or 0) + 1)
        if found and after is not None and len(after["data"]) > 1000:
            after["data"] = json.dumps({"step": after["version"]})
        return found


@mutant("concurrent")
class LosesConcurrentSaves(Reference):
    """Reads, changes and writes the versions of a task without a lock."""

    def save(self, snapshot: Any) -> None:
        before = dict(self.tasks.get(snapshot.task_id, {}))
        threading.Event().wait(0.002)
        with self.lock:
            super().save(snapshot)
            added = self.tasks[snapshot.task_id][snapshot.version]
            self.tasks[snapshot.task_id] = {**before, snapshot.version: added}


@mutant("methods")
class WithoutDelete(Reference):
    """Has no method `delete`."""

    delete = None  # type: ignore[assignment]


@mutant("methods", is_async=True)
class NotCoroutineFunctions(Reference):
    """Claims to be asynchronous, and is not."""


@mutant("methods")
class CoroutineSave(Reference):
    """Has one method that must be awaited."""

    async def save(self, snapshot: Any) -> None:  # type: ignore[override]
        super().save(snapshot)


@mutant("concurrent", is_async=True)
class LosesConcurrentAwaits(AsyncReference):
    """Reads the versions of a task, awaits, and writes them back."""

    async def save(self, snapshot: Any) -> None:
        before = dict(self.store.tasks.get(snapshot.task_id, {}))
        await asyncio.sleep(0)
        self.store.save(snapshot)
        added = self.store.tasks[snapshot.task_id][snapshot.version]
        self.store.tasks[snapshot.task_id] = {**before, snapshot.version: added}
