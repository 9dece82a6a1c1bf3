"""A store's folder and files are created completely or not at all."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import lmdb

from langgraph.checkpoint.lmdb.errors import DamagedError, InvalidPathError
from langgraph.checkpoint.lmdb.kv.lmdb.errors import (
    LMDB_FAILURES,
    reported,
    translate_lmdb_error,
    translate_os_error,
)
from langgraph.checkpoint.lmdb.kv.lmdb.files import DATA, ENGINE, LOCK, MAX_READERS, status

UNFINISHED: Final = "unfinished"
"""Name of a data file that is being written. No store has a file of this name."""
_NEW: Final = ".new"  # folder in which files are made before they are moved to their paths
_SQLITE: Final = b"SQLite format 3\0"
# LMDB's lock file has 192 bytes, and 64 for each reader except one.
_LOCK_SIZE: Final = 192 + (MAX_READERS - 1) * 64


def prepare(path: str | os.PathLike[str], *, readonly: bool, durable: bool) -> str:
    """Create the store's folder and files, for their owner only, unless they exist.

    Args:
        path: The folder.
        readonly: Create nothing.
        durable: Flush new files and names to the disk before returning.

    Returns:
        The folder's real path.

    Raises:
        InvalidPathError: The path cannot hold a store, or `readonly` and the store is missing.
        StoreFullError: The disk is full.
        DamagedError: The data file is empty.
    """
    name = os.fspath(path)
    if not isinstance(name, str):
        raise InvalidPathError(f"the path must be str, got {type(name).__name__}")
    if not name or "\0" in name:
        advice = "Name a folder for the store."
        raise InvalidPathError("the path is invalid", path=name, advice=advice)
    try:
        folder = Path(name).resolve()
        if folder.exists() and not folder.is_dir():
            advice = "Name a folder for the store."
            kind = "a SQLite database" if _is_sqlite(folder) else "a file"
            raise InvalidPathError(f"the path is {kind}", path=name, advice=advice)
        if not readonly:
            make_folder(folder, durable=durable)
            make_files(folder, durable=durable)
        _check_files(folder)
    except OSError as error:
        raise translate_os_error(error, name, "opening the store") from error
    except LMDB_FAILURES as error:
        raise translate_lmdb_error(error, name, "creating the store") from error
    except RuntimeError as error:  # a loop of symbolic links, before Python 3.13
        raise InvalidPathError(str(error), path=name) from error
    return str(folder)


def _is_sqlite(folder: Path) -> bool:
    """Return True if a path is a SQLite file."""
    if not folder.is_file():  # reading a pipe would wait for its writer
        return False
    with folder.open("rb") as stream:
        return stream.read(len(_SQLITE)) == _SQLITE


def _check_files(folder: Path) -> None:
    status(folder, LOCK)
    data = status(folder, DATA)
    if data is None:
        advice = "Check the path, or open it without readonly=True to create a store."
        raise InvalidPathError("there is no store here", path=str(folder), advice=advice)
    if not os.access(folder / DATA, os.R_OK):
        advice = "Let this user read it."
        raise InvalidPathError("the store may not be read", path=str(folder), advice=advice)
    if not data.st_size:
        # LMDB would treat it as a new store. A new data file of ours is never empty.
        raise DamagedError("the data file is empty", path=str(folder), record=DATA)


def make_folder(folder: Path, *, durable: bool) -> None:
    """Create a folder and the folders above it, for their owner only, unless they exist."""
    if folder.is_dir():
        return
    make_folder(folder.parent, durable=durable)
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        return
    folder.chmod(0o700)
    if durable:
        flush(folder.parent)


def make_files(folder: Path, *, durable: bool) -> None:
    """Create the missing files in a folder of their own, and move them to their paths.

    So a full disk leaves no partial file. The lock file has all its blocks from the start. LMDB
    would create it with holes, and a process that writes to a hole through its map is killed when
    the disk is full.
    """
    if None not in (status(folder, LOCK), status(folder, DATA)):
        return
    new = folder / _NEW
    with locked(folder):
        remove(new)  # after a crash
        try:
            new.mkdir(0o700)
        except FileExistsError:
            message = f"{_NEW} in the folder cannot be removed"
            raise InvalidPathError(
                message,
                path=str(folder),
                advice="Remove it by hand: it is left of a process that died.",
            ) from None
        try:
            if status(folder, LOCK) is None:
                (new / LOCK).write_bytes(bytes(_LOCK_SIZE))
                _move(new / LOCK, folder / LOCK, durable=durable)
            if status(folder, DATA) is None:
                lmdb.open(str(new), lock=False, **ENGINE).close()
                _move(new / DATA, folder / DATA, durable=durable)
        finally:
            remove(new)
        if durable:
            flush(folder)


def _move(file: Path, target: Path, *, durable: bool) -> None:
    file.chmod(0o600)
    if durable:
        flush(file)
    file.rename(target)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock under which one thread of one process creates files in `folder`."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def remove(folder: Path) -> None:
    """Remove a folder that holds only files of a store, as far as the system allows.

    It opens no file, because the process may have run out of descriptors.
    """
    with suppress(OSError):
        for name in (DATA, LOCK, UNFINISHED):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_target(path: str | os.PathLike[str], source: str | None) -> Path:
    """Return the absolute path of a new folder for a copy of a store.

    Args:
        path: The folder, which must not exist.
        source: The folder of the store; None if the store has no files.

    Raises:
        InvalidPathError: The path exists, or is in the folder of the store.
    """
    try:
        target = Path(os.path.abspath(path))  # noqa: PTH100 - a link at its end exists, too
        if os.path.lexists(target):
            message = "the path exists already"
            advice = "Name a folder that does not exist. A copy never overwrites anything."
            raise InvalidPathError(message, path=str(path), advice=advice)
        if source is not None and target.resolve().is_relative_to(source):
            advice = "Name a folder outside of the store."
            message = "the path is inside of the store"
            raise InvalidPathError(message, path=str(path), advice=advice)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, InvalidPathError):
            raise
        raise InvalidPathError(f"not a path for a copy: {error}", path=repr(path)) from error
    return target


@contextmanager
def new_folder(target: Path, doing: str) -> Iterator[Path]:
    """Create a folder that gets its name when the `with` block has filled it, or not at all.

    Args:
        target: The folder, from `check_target`.
        doing: Text for errors, to follow "while".

    Yields:
        An empty hidden folder beside `target`, for its owner only.

    Raises:
        InvalidPathError: The target exists, or cannot be created.
        StoreFullError: The disk is full.
        StoreIOError: The system refused.
    """
    with reported(str(target), doing):
        make_folder(target.parent, durable=True)
        # Opened first, so that only a flush can fail once the copy has its name.
        above = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            made = Path(tempfile.mkdtemp(".part", f".{target.name[:100]}.", target.parent))
            try:
                yield made
                flush(made)
                _rename(made, target)
                made = target
                os.fsync(above)
            except BaseException:
                remove(made)
                raise
        finally:
            os.close(above)


def _rename(made: Path, target: Path) -> None:
    if os.path.lexists(target):
        message = "the path was created while the copy was made"
        raise InvalidPathError(message, path=str(target), advice="Name another folder.")
    made.rename(target)  # fails if the target was created just now, unless it is an empty folder
