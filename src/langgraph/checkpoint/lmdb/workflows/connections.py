"""The `connection` argument of the functions of workflows: a path, a connection string, a saver."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb import opening
from langgraph.checkpoint.lmdb.errors import InvalidPathError
from langgraph.checkpoint.lmdb.opening import StoreName
from langgraph.checkpoint.lmdb.saver import KvSaver
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.database_errors import translated
from langgraph.checkpoint.lmdb.workflows.file_locks import FileLockManager
from langgraph.checkpoint.lmdb.workflows.local_locks import LocalLockManager
from langgraph.checkpoint.lmdb.workflows.locks import LockManager

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
    from langgraph.checkpoint.lmdb.workflows.postgres_locks import PostgresLockManager

MEMORY = ":memory:"

Connection: TypeAlias = "StoreName | BaseCheckpointSaver[Any]"
"""The path of a store or a connection string of PostgreSQL, which is opened for one call; or a
saver, which remains open."""
EXPECTED = "a path, a connection string or a saver"
_MOST_LOCKS = 100
"""Connections of a default lock manager at most. They are opened when they are needed."""


@contextmanager
def open_connection(
    connection: Connection, *, readonly: bool = False
) -> Iterator[BaseCheckpointSaver[Any]]:
    """Return the saver of a connection, for the length of a `with` block.

    Args:
        connection: A path, a connection string or a saver.
        readonly: Open a path or a connection string for reading.

    Raises:
        UsageError: The connection is something else.
        InvalidPathError: There is no store. A store is never created.
        DatabaseUnavailableError: The database of a saver is away, also within the block.
    """
    with translated():
        if isinstance(connection, BaseCheckpointSaver):
            yield connection
        else:
            with _open_existing(connection, readonly) as saver:
                yield saver


@asynccontextmanager
async def aopen_connection(
    connection: Connection, *, readonly: bool = False
) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """Async version of `open_connection`."""
    with translated():
        if isinstance(connection, BaseCheckpointSaver):
            yield connection
        else:
            async with await asyncio.to_thread(_open_existing, connection, readonly) as saver:
                yield saver


def open_saver(connection: StoreName, **options: Any) -> KvSaver:
    """Return the saver of a store. Every connection that is not a saver is opened here.

    Args:
        connection: Path or connection string of the store, which is created if it does not exist.
        options: Other arguments of its saver.

    Raises:
        UsageError: It is neither a path nor a connection string.
        InvalidPathError: The path cannot be opened as a store.
        DatabaseUnavailableError: The server cannot be reached.
    """
    return opening.open_saver(_checked(connection), **options)


def _open_existing(connection: StoreName, readonly: bool) -> KvSaver:
    if connection == MEMORY:
        raise InvalidPathError(
            f"connection must be {EXPECTED}, got {connection!r}",
            advice="Pass the saver itself: a store in memory has no path.",
        )
    return opening.open_existing(_checked(connection), readonly=readonly)


def _checked(connection: StoreName) -> StoreName:
    if not isinstance(connection, (str, os.PathLike)):
        arguments.refuse("connection", EXPECTED, connection)
    return connection


def default_lock_manager(saver: BaseCheckpointSaver[Any]) -> LockManager:
    """Return the lock manager of a saver: one for each store and process.

    The locks of a store in a folder are files in it. The locks of a store in PostgreSQL are
    advisory locks of its database. Any other saver has locks for the threads of this process only.

    Raises:
        DatabaseUnavailableError: The server cannot be reached.
        UsageError: The connection leads to a pooler in transaction mode.
    """
    postgres = opening.as_postgres(saver)
    if postgres is not None:
        return _database_locks(postgres)
    folder = saver.path if isinstance(saver, KvSaver) else None
    with _mutex:
        if folder is None:
            return _of_saver.setdefault(saver, LocalLockManager())
        found = _of_folder.get(folder)
        if found is None:
            found = _of_folder[folder] = FileLockManager(folder)
        return found


def _database_locks(saver: CompactPostgresSaver) -> PostgresLockManager:
    """Return the lock manager that savers with one connection string share.

    It is closed with the last of them.
    """
    from langgraph.checkpoint.lmdb.workflows.postgres_locks import (  # noqa: PLC0415 - an extra
        PostgresLockManager,
    )

    conninfo = saver.conninfo
    with _database_mutex:
        manager, users = _of_conninfo.get(conninfo, (None, WeakSet()))
        if manager is None:
            manager = PostgresLockManager(conninfo, min_conn=1, max_conn=_MOST_LOCKS)
            _of_conninfo[conninfo] = manager, users
        if saver not in users:
            users.add(saver)
            saver.call_at_close(partial(_end_use, conninfo, saver))
        return manager


def _end_use(conninfo: str, saver: CompactPostgresSaver) -> None:
    with _database_mutex:
        manager, users = _of_conninfo[conninfo]
        users.discard(saver)
        if users:
            return
        del _of_conninfo[conninfo]
    manager.close()


def chosen_lock_manager(
    saver: BaseCheckpointSaver[Any], lock_manager: LockManager | None
) -> LockManager:
    """Return the lock manager that a caller passed, or else the default.

    Raises:
        UsageError: It is not a lock manager.
    """
    if lock_manager is None:
        return default_lock_manager(saver)
    if not isinstance(lock_manager, LockManager):
        arguments.refuse("lock_manager", "a LockManager or None", lock_manager)
    return lock_manager


async def achosen_lock_manager(
    saver: BaseCheckpointSaver[Any], lock_manager: LockManager | None
) -> LockManager:
    """Async version of `chosen_lock_manager`."""
    return await asyncio.to_thread(chosen_lock_manager, saver, lock_manager)


_mutex = threading.Lock()
_database_mutex = threading.Lock()
_of_folder: WeakValueDictionary[str, FileLockManager] = WeakValueDictionary()
_of_saver: WeakKeyDictionary[BaseCheckpointSaver[Any], LocalLockManager] = WeakKeyDictionary()
_of_conninfo: dict[str, tuple[PostgresLockManager, WeakSet[CompactPostgresSaver]]] = {}
for _each in (_mutex, _database_mutex):
    os.register_at_fork(after_in_child=_each._at_fork_reinit)  # type: ignore[attr-defined]
