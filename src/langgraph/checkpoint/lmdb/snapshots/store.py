"""The snapshot stores, for threads and for coroutines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, NoReturn, SupportsIndex

from typing_extensions import Self

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.aio import MAX_INLINE_READ
from langgraph.checkpoint.lmdb.engine.states import always_complete
from langgraph.checkpoint.lmdb.engine.store import open_format
from langgraph.checkpoint.lmdb.errors import (
    DeserializationError,
    LmdbSaverError,
    NotCopyableError,
    RetryableError,
    StoreClosedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.format.keys import Kind
from langgraph.checkpoint.lmdb.kv import workers
from langgraph.checkpoint.lmdb.kv.prefixed import PrefixedStore
from langgraph.checkpoint.lmdb.models import SweepReport, TTLConfig
from langgraph.checkpoint.lmdb.operations import background, retention
from langgraph.checkpoint.lmdb.operations import get as checkpoint_get
from langgraph.checkpoint.lmdb.operations.opening import open_store
from langgraph.checkpoint.lmdb.operations.session import Session, open_session
from langgraph.checkpoint.lmdb.saver import DEFAULT_CACHE_SIZE, DEFAULT_LEVEL, KvSaver
from langgraph.checkpoint.lmdb.snapshots import model, operations
from langgraph.checkpoint.lmdb.snapshots.json_text import JsonSerializer
from langgraph.checkpoint.lmdb.snapshots.model import StateSnapshot


class _SnapshotStore:
    """An open snapshot store, without its methods."""

    def __init__(
        self,
        path_or_saver: str | os.PathLike[str] | KvSaver,
        *,
        snapshot_type: Callable[..., Any] = StateSnapshot,
        ttl: TTLConfig | None = None,
        compression: int | None = DEFAULT_LEVEL,
        cache_size: int = DEFAULT_CACHE_SIZE,
        clock: Callable[[], float] = time.time,
        **opening: Any,
    ) -> None:
        validation.function(snapshot_type, "snapshot_type")
        if compression is not None:
            compression = validation.count(compression, "compression", "a level (or None)", 1, 22)
        size = validation.count(cache_size, "cache_size", "bytes")
        validation.function(clock, "clock")
        policy = retention.parse_ttl(ttl)
        self._snapshot_type = snapshot_type
        self._is_closed = False
        self._owns_kv = not isinstance(path_or_saver, KvSaver)
        if isinstance(path_or_saver, KvSaver):
            if opening:
                names = ", ".join(sorted(opening))
                raise UsageError(f"{names} must be given to the saver, whose store this one uses")
            whole = path_or_saver._kv
        else:
            whole = open_store(path_or_saver, **opening)
        try:
            open_format(whole)
            self._kv = PrefixedStore(whole, Kind.SNAPSHOTS)
            self._open_session = open_session(
                self._kv, JsonSerializer(), policy, compression, size, clock, always_complete
            )
            self._swept = None
            if policy.sweep_interval is not None and not whole.readonly:
                self._swept = (self._kv.identity, self._open_session)
                background.start(*self._swept, policy.sweep_interval)
        except BaseException as error:
            if self._owns_kv:
                whole.close()
            if isinstance(error, LmdbSaverError):
                error.add_location(path=whole.folder)
            raise

    @property
    def _session(self) -> Session:
        if self._is_closed:
            raise StoreClosedError("the snapshot store is closed", path=self.path)
        return self._open_session

    @property
    def path(self) -> str | None:
        """Folder of the store; None for a store in memory."""
        return self._kv.folder

    def _close(self) -> None:
        if self._is_closed:
            return
        if self._swept is not None:
            background.stop(*self._swept)
        self._is_closed = True
        self._open_session.close()
        if self._owns_kv:
            self._kv.close()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise NotCopyableError("a snapshot store cannot be copied or pickled: it is open here")

    def _snapshot(self, fields: dict[str, Any] | None) -> Any:
        """Return the snapshot with these fields, or None."""
        if fields is None:
            return None
        if self._snapshot_type is StateSnapshot:
            return model.restored(fields)
        try:
            return self._snapshot_type(**fields)
        except Exception as error:
            raise DeserializationError(
                f"snapshot_type refuses a stored snapshot: {type(error).__name__}: {error}",
                task_id=fields["task_id"],
                version=fields["version"],
                advice="Open the store with a snapshot_type that takes these fields.",
            ) from error


class LmdbSnapshotStore(_SnapshotStore):
    """A store of the snapshots of tasks, for any number of threads and processes.

    ```python
    with LmdbSnapshotStore("checkpoints") as store:
        store.save(snapshot)
        latest = store.get(snapshot.task_id)
    ```

    It has the methods and the answers of ASAP's `SnapshotStore`. The snapshots are in the same
    folder as the checkpoints of an `LmdbSaver`, whose `verify`, `backup`, `compact` and
    `rotate_key` work on both. They are no threads of that saver, and its `ttl` does not apply to
    them. The versions of a task share the data that they have in common.

    Args:
        path_or_saver: A folder, as for `LmdbSaver`; or a saver, whose store is used, and closed by
            the saver.
        snapshot_type: The class of the snapshots that are returned, called with the fields as
            keyword arguments. Snapshots of any class with these fields can be saved.
        ttl: The retention policy, as for `LmdbSaver`: a task is a thread, and a version is a
            checkpoint.
        compression: The level of zstd, 1 to 22; pieces of 4 KiB and more are compressed two levels
            lower. None: no compression.
        cache_size: Approximate size of the cache in bytes. 0 disables it.
        clock: A function that returns the time in seconds since the epoch.
        opening: `sync`, `map_size`, `readonly` and `encryption_key`, as for `LmdbSaver`; only for a
            folder.

    Raises:
        UsageError: An argument is invalid.
        LmdbSaverError: The store cannot be opened, as for `LmdbSaver`.
    """

    def save(self, snapshot: Any) -> None:
        """Store a snapshot. It replaces the snapshot of the same task and version.

        Args:
            snapshot: A `StateSnapshot`, or an object with its fields.

        Raises:
            UsageError: A field is missing or invalid.
            SerializationError: `data` is not JSON-serializable.
            StoreFullError: The disk is full; nothing is stored.
        """
        session, checked = self._session, model.check(snapshot)
        with operations.located(checked.task_id, checked.version):
            session.run(operations.SaveOperation(session, checked))

    def get(self, task_id: str, version: int | None = None) -> Any:
        """Return a snapshot, with its own copy of the data; or None if the store does not have it.

        Args:
            task_id: The task.
            version: The version. None: the latest, which is the greatest.

        Raises:
            UsageError: `task_id` is not a str, or `version` is not a whole number.
            DamagedError: The snapshot is damaged.
        """
        session, task, number = self._session, model.task_id(task_id), _version(version)
        if number == _NEVER:
            return None
        found = operations.get(session, task, number)
        refresh = None if found is None else checkpoint_get.refresh(session, task)
        if refresh is not None:
            with suppress(RetryableError):  # the read itself succeeded
                session.run(refresh)
        return self._snapshot(found)

    def list_versions(self, task_id: str) -> list[int]:
        """Return the versions of a task, ascending; [] for an unknown task.

        Raises:
            UsageError: `task_id` is not a str.
        """
        return operations.list_versions(self._session, model.task_id(task_id))

    def delete(self, task_id: str, version: int | None = None) -> bool:
        """Delete a version of a task, or all of them.

        Args:
            task_id: The task.
            version: The version. None: the whole task.

        Returns:
            True if anything was deleted.

        Raises:
            UsageError: `task_id` is not a str, or `version` is not a whole number.
        """
        session, task, number = self._session, model.task_id(task_id), _version(version)
        if number == _NEVER:
            return False
        with operations.located(task, number):
            return session.run_sequence(operations.delete(session, task, number))

    def sweep(
        self,
        now: datetime | float | None = None,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> SweepReport:
        """Delete what has expired by the `ttl` of this store, as `LmdbSaver.sweep` does.

        Args:
            now: The time to sweep for, by default the time of the store's clock: seconds since the
                epoch, or a timezone-aware datetime.
            limit: The highest number of tasks to sweep.
            dry_run: True: delete nothing, and report what would be deleted.

        Returns:
            The counts: its threads are tasks, its checkpoints are versions.
        """
        session = self._session
        return session.run_sequence(retention.sweep(session, now, limit, dry_run))

    def close(self) -> None:
        """Close the store, but not a saver that it was given. A second call does nothing."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()


class AsyncLmdbSnapshotStore(_SnapshotStore):
    """A store of the snapshots of tasks for coroutines: ASAP's `AsyncSnapshotStore`.

    It has the arguments of `LmdbSnapshotStore`. The data are serialized before the first await;
    another thread commits them while the event loop continues.
    """

    async def save(self, snapshot: Any) -> None:
        """Async version of `LmdbSnapshotStore.save`."""
        session, checked = self._session, model.check(snapshot)
        with operations.located(checked.task_id, checked.version):
            await session.run_async(operations.SaveOperation(session, checked))

    async def get(self, task_id: str, version: int | None = None) -> Any:
        """Async version of `LmdbSnapshotStore.get`."""
        session, task, number = self._session, model.task_id(task_id), _version(version)
        if number == _NEVER:
            return None
        await session.settle()
        try:
            found = operations.get(session, task, number, MAX_INLINE_READ)
        except checkpoint_get.BudgetExceededError:
            found = await workers.call(operations.get, session, task, number)
        refresh = None if found is None else checkpoint_get.refresh(session, task)
        if refresh is not None:
            with suppress(RetryableError):  # the read itself succeeded
                await session.run_async(refresh)
        return self._snapshot(found)

    async def list_versions(self, task_id: str) -> list[int]:
        """Async version of `LmdbSnapshotStore.list_versions`."""
        session, task = self._session, model.task_id(task_id)
        await session.settle()
        return operations.list_versions(session, task)

    async def delete(self, task_id: str, version: int | None = None) -> bool:
        """Async version of `LmdbSnapshotStore.delete`."""
        session, task, number = self._session, model.task_id(task_id), _version(version)
        if number == _NEVER:
            return False
        with operations.located(task, number):
            return await session.run_sequence_async(operations.delete(session, task, number))

    async def sweep(
        self,
        now: datetime | float | None = None,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> SweepReport:
        """Async version of `LmdbSnapshotStore.sweep`."""
        session = self._session
        return await session.run_sequence_async(retention.sweep(session, now, limit, dry_run))

    async def close(self) -> None:
        """Async version of `LmdbSnapshotStore.close`."""
        try:
            await workers.call(self._close)
        except RetryableError:  # no worker thread could be started
            self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


_NEVER = 0
"""A version that no snapshot has."""


def _version(version: object) -> int | None:
    """Return a version, or None; any number out of range is `_NEVER`."""
    if version is None:
        return None
    number = validation.count(version, "version", "steps (or None)", None)
    return number if 0 < number <= model.MAX_VERSION else _NEVER
