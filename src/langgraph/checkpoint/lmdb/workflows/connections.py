"""What the functions of workflows take as `connection`: the path of a store, or any saver."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb.errors import InvalidPathError
from langgraph.checkpoint.lmdb.lmdb_saver import LmdbSaver
from langgraph.checkpoint.lmdb.workflows.file_locks import FileLockManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langgraph.checkpoint.lmdb.workflows.locks import LockManager

MEMORY = ":memory:"

Connection: TypeAlias = "str | os.PathLike[str] | BaseCheckpointSaver[Any]"
"""The path of a store, which is opened for one call; or a saver, which stays open."""


@contextmanager
def open_connection(
    connection: Connection, *, readonly: bool = False
) -> Iterator[BaseCheckpointSaver[Any]]:
    """Return the saver of a connection, for the length of a `with` block.

    Args:
        connection: A path or a saver.
        readonly: Open a path for reading.

    Raises:
        InvalidPathError: The path holds no store. A store is never created.
    """
    if isinstance(connection, BaseCheckpointSaver):
        yield connection
    else:
        with _open(connection, readonly) as saver:
            yield saver


@asynccontextmanager
async def aopen_connection(
    connection: Connection, *, readonly: bool = False
) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """As `open_connection`."""
    if isinstance(connection, BaseCheckpointSaver):
        yield connection
    else:
        async with _open(connection, readonly) as saver:
            yield saver


def _open(path: str | os.PathLike[str], readonly: bool) -> LmdbSaver:
    if path == MEMORY:
        raise InvalidPathError(
            f"connection must be a path or a saver, got {path!r}",
            advice="Pass the saver itself: a store in memory has no path.",
        )
    # Opening for reading creates nothing: for a path without a store it raises the error.
    is_there = isinstance(path, (str, os.PathLike)) and _data_file(path).exists()
    return LmdbSaver(path, readonly=readonly or not is_there)


def _data_file(path: str | os.PathLike[str]) -> Path:
    return Path(path).expanduser() / "data.mdb"


def default_lock_manager(saver: BaseCheckpointSaver[Any]) -> LockManager | None:
    """Return the lock manager in the folder of a saver's store; None if it has no folder."""
    folder = saver.path if isinstance(saver, LmdbSaver) else None
    return None if folder is None else FileLockManager(folder)
