"""The `connection` argument of the functions of workflows: the path of a store, or any saver."""

from __future__ import annotations

import os
import threading
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb.errors import InvalidPathError
from langgraph.checkpoint.lmdb.lmdb_saver import LmdbSaver
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.database_errors import translated
from langgraph.checkpoint.lmdb.workflows.file_locks import FileLockManager
from langgraph.checkpoint.lmdb.workflows.local_locks import LocalLockManager
from langgraph.checkpoint.lmdb.workflows.locks import LockManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MEMORY = ":memory:"

Connection: TypeAlias = "str | os.PathLike[str] | BaseCheckpointSaver[Any]"
"""The path of a store, which is opened for one call; or a saver, which remains open."""


@contextmanager
def open_connection(
    connection: Connection, *, readonly: bool = False
) -> Iterator[BaseCheckpointSaver[Any]]:
    """Return the saver of a connection, for the length of a `with` block.

    Args:
        connection: A path or a saver.
        readonly: Open a path for reading.

    Raises:
        UsageError: The connection is neither a path nor a saver.
        InvalidPathError: The path holds no store. A store is never created.
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
            async with _open_existing(connection, readonly) as saver:
                yield saver


def open_saver(path: str | os.PathLike[str], **options: Any) -> LmdbSaver:
    """Return the saver of a store. Every connection that is not a saver is opened here.

    Args:
        path: Path of the store, which is created if it does not exist.
        options: Other arguments of `LmdbSaver`.

    Raises:
        UsageError: It is not a path.
        InvalidPathError: The path cannot be opened as a store.
    """
    if not isinstance(path, (str, os.PathLike)):
        arguments.refuse("connection", "a path or a saver", path)
    return LmdbSaver(path, **options)


def _open_existing(path: str | os.PathLike[str], readonly: bool) -> LmdbSaver:
    if path == MEMORY:
        raise InvalidPathError(
            f"connection must be a path or a saver, got {path!r}",
            advice="Pass the saver itself: a store in memory has no path.",
        )
    # Opening for reading creates nothing: for a path without a store it raises the error.
    return open_saver(path, readonly=readonly or not _is_store(path))


def _is_store(path: object) -> bool:
    return isinstance(path, (str, os.PathLike)) and _data_file(path).exists()


def _data_file(path: str | os.PathLike[str]) -> Path:
    return Path(path).expanduser() / "data.mdb"


def default_lock_manager(saver: BaseCheckpointSaver[Any]) -> LockManager:
    """Return the lock manager of a saver: one for each store and process.

    The locks of a `LmdbSaver` are in the folder of its store. Any other saver has locks for the
    threads of this process only.
    """
    folder = saver.path if isinstance(saver, LmdbSaver) else None
    with _mutex:
        if folder is None:
            return _of_saver.setdefault(saver, LocalLockManager())
        found = _of_folder.get(folder)
        if found is None:
            found = _of_folder[folder] = FileLockManager(folder)
        return found


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


_mutex = threading.Lock()
_of_folder: WeakValueDictionary[str, FileLockManager] = WeakValueDictionary()
_of_saver: WeakKeyDictionary[BaseCheckpointSaver[Any], LocalLockManager] = WeakKeyDictionary()
os.register_at_fork(after_in_child=_mutex._at_fork_reinit)  # type: ignore[attr-defined]
