"""`Target`: how a migration writes to a saver, through the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, TypeAlias
from uuid import uuid4

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.types import TASKS

from langgraph.checkpoint.lmdb.errors import LmdbSaverError, SerializationError
from langgraph.checkpoint.lmdb.migrate.history import with_ancestors
from langgraph.checkpoint.lmdb.migrate.models import Record
from langgraph.checkpoint.lmdb.migrate.saver_source import KvSource, MemorySource
from langgraph.checkpoint.lmdb.migrate.source import Source
from langgraph.checkpoint.lmdb.migrate.sqlite_source import SqliteSource
from langgraph.checkpoint.lmdb.migrate.versions import ThreadVersions
from langgraph.checkpoint.lmdb.models import TaskWrite
from langgraph.checkpoint.lmdb.saver import KvSaver

Call: TypeAlias = "tuple[str, str, list[tuple[str, Any]]]"
"""Task id, task path and writes of a call of `put_writes`."""

_FORMAT_WITHOUT_SENDS = 4


class Target:
    """A saver that a migration writes to.

    Args:
        saver: The saver.
        source: A reader of it.
    """

    def __init__(self, saver: BaseCheckpointSaver[Any], source: Source) -> None:
        self.saver = saver
        self.source = source
        self._is_ours = isinstance(source, KvSource)
        self.finds_by_version = not isinstance(source, (KvSource, SqliteSource))
        """True if the saver finds a value by channel and version, as far as is known."""
        self.is_known = isinstance(source, MemorySource) or source.knows_paths

    def versions(self) -> ThreadVersions:
        """Return the versions of a thread that is copied to the saver."""
        return ThreadVersions(self.saver, keeps_any=self._is_ours)

    def expected(self, record: Record) -> list[Record]:
        """Return what the target stores for a checkpoint: the checkpoint last.

        A deleted ancestor that channels are rebuilt from is a checkpoint of its own, except in
        savers of this package.
        """
        _without_pending_sends(record)
        if self._is_ours or not record.history:
            return [record]
        return with_ancestors(record, run_id=None)

    def put(
        self, record: Record, new_versions: dict[str, Any], task_ids: Iterable[str] = ()
    ) -> None:
        """Store a checkpoint with the pending writes of some tasks.

        A saver of this package stores both in one commit.

        Raises:
            SerializationError: The saver cannot store a value.
        """
        run_id = uuid4().hex
        ancestors = with_ancestors(record, run_id)[:-1] if record.history else []
        for ancestor in ancestors:
            versions = dict((ancestor.checkpoint or {})["channel_versions"])
            tasks = [write.task_id for write in ancestor.writes]
            self._put(ancestor, versions, ancestor.parent, tasks)
        parent = ancestors[-1].key.checkpoint_id if ancestors else record.parent
        self._put(record, new_versions, parent, task_ids)
        if ancestors:  # their writes and values become the history of the checkpoint
            self.saver.delete_for_runs([run_id])

    def put_writes(self, record: Record, task_ids: Iterable[str]) -> None:
        """Store the pending writes of some tasks of a checkpoint."""
        for task_id, path, writes in _calls(record.writes, task_ids):
            with _located(record):
                self.saver.put_writes(record.key.config, writes, task_id, path)

    def _put(
        self,
        record: Record,
        new_versions: dict[str, Any],
        parent: str | None,
        task_ids: Iterable[str],
    ) -> None:
        checkpoint: Any = record.checkpoint
        metadata: Any = record.metadata
        if not self.finds_by_version:
            new_versions = dict(checkpoint["channel_versions"])
        config: Any = record.key.config
        config["configurable"]["checkpoint_id"] = parent
        if parent is None:
            del config["configurable"]["checkpoint_id"]
        values = checkpoint["channel_values"]
        if self.finds_by_version:  # an absent value would replace the ancestors' value
            new_versions = {name: v for name, v in new_versions.items() if name in values}
        with _located(record):
            if isinstance(self.saver, KvSaver):
                calls = _calls(record.writes, task_ids)
                self.saver._put_with_writes(config, checkpoint, metadata, new_versions, calls)
                return
            self.saver.put(config, checkpoint, metadata, new_versions)
        self.put_writes(record, task_ids)


class _located:  # noqa: N801 - used like a function
    """A context manager that names the checkpoint in errors of the target."""

    def __init__(self, record: Record) -> None:
        self._where = record.key._asdict()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LmdbSaverError):
            error.add_location(**self._where)
        elif isinstance(error, (TypeError, ValueError)):
            message = f"the target cannot store a value: {type(error).__name__}: {error}"
            raise SerializationError(message, **self._where) from error


def _without_pending_sends(record: Record) -> None:
    """Make pending sends of an old checkpoint a channel, as LangGraph does when it loads it."""
    checkpoint = record.checkpoint
    if checkpoint is None or checkpoint["v"] >= _FORMAT_WITHOUT_SENDS:
        return
    sends = checkpoint.get("pending_sends")
    if sends:
        versions = checkpoint["channel_versions"]
        checkpoint.pop("pending_sends")
        checkpoint["channel_values"] = {**checkpoint["channel_values"], TASKS: sends}
        checkpoint["channel_versions"] = {
            **versions,
            TASKS: max(versions.values()) if versions else 1,
        }


def _calls(rows: list[TaskWrite], task_ids: Iterable[str]) -> Iterator[Call]:
    """Yield the calls of `put_writes` that store the writes of some tasks."""
    for task_id in dict.fromkeys(task_ids):
        found = _calls_of_task([write for write in rows if write.task_id == task_id])
        yield from ((task_id, path, writes) for path, writes in found)


def _calls_of_task(rows: list[TaskWrite]) -> list[tuple[str, list[tuple[str, Any]]]]:
    """Return the calls of `put_writes` that store the writes of a task with their indexes.

    A saver takes the index from the position in the call. A position that the call does not need
    has a write that is stored already: it is ignored, or replaced by itself. Without such a write
    the indexes move up, which keeps the order.
    """
    special = [row for row in rows if row.index < 0]
    regular = sorted((row for row in rows if row.index >= 0), key=lambda row: row.task_path)
    calls: list[tuple[str, list[tuple[str, Any]]]] = []
    fillers: dict[int, tuple[str, Any]] = {}
    any_special = (special[0].channel, special[0].value) if special else None
    for path, group in groupby(regular, key=lambda row: row.task_path):
        own = {row.index: (row.channel, row.value) for row in group}
        fillers.update(own)
        wanted = range(max(own) + 1)
        found = [fillers.get(index, any_special) for index in wanted]
        calls.append((path, [write for write in found if write is not None]))
    # Last, since they replace special writes that filled a position, with another path.
    calls += (
        (path, [(row.channel, row.value) for row in group])
        for path, group in groupby(special, key=lambda row: row.task_path)
    )
    return calls
