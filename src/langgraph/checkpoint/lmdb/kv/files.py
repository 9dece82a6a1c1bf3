"""The store's folder and its two files: made, checked and measured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from langgraph.checkpoint.lmdb.errors import InvalidPathError
from langgraph.checkpoint.lmdb.kv.failures import from_os

DATA: Final = "data.mdb"
LOCK: Final = "lock.mdb"


def prepare(path: str | os.PathLike[str], *, readonly: bool) -> str:
    """Make the store's folder and files, for their owner only, unless they are there.

    LMDB would make the files itself, with a mode cut by the umask.

    Args:
        path: The folder.
        readonly: Make nothing.

    Returns:
        The folder's real path.

    Raises:
        InvalidPathError: There cannot be a store here, or there is none to read.
        StoreFullError: There is no room for it.
    """
    name = os.fspath(path)
    if not isinstance(name, str):
        raise InvalidPathError(f"the path is {type(name).__name__}, not str", advice="Pass a str.")
    if not name or "\0" in name:
        raise InvalidPathError("not a path", path=name, advice="Name a folder for the store.")
    try:
        folder = Path(name).resolve()
        if folder.exists() and not folder.is_dir():
            raise InvalidPathError(
                "the path is a file",
                path=name,
                advice="Name a folder, for the store to make its files in.",
            )
        if readonly:
            _check_present(folder)
        else:
            _make_folder(folder)
            for file in (DATA, LOCK):
                _make_file(folder / file)
    except OSError as error:
        raise from_os(error, name, "opening the store") from error
    except RuntimeError as error:  # a loop of symbolic links, before Python 3.13
        raise InvalidPathError(str(error), path=name) from error
    return str(folder)


def identity(folder: str) -> tuple[int, int]:
    """Device and inode of the data file: the same store by whatever path it is reached."""
    status = (Path(folder) / DATA).stat()
    return status.st_dev, status.st_ino


def length(folder: str) -> int:
    """Bytes in the data file, holes included."""
    return (Path(folder) / DATA).stat().st_size


def occupied(folder: str) -> int:
    """Bytes that the file system has allocated for the store's files."""
    total = 0
    for name in (DATA, LOCK):
        file = Path(folder) / name
        if file.exists():  # a store that is only read may do without a lock file
            total += file.stat().st_blocks * 512
    return total


def can_lock(folder: str) -> bool:
    """Whether a reader can put itself in the lock file."""
    # Asked of the system rather than tried: closing a file drops the process's locks on it.
    lock = Path(folder) / LOCK
    return os.access(lock if lock.exists() else folder, os.R_OK | os.W_OK)


def _check_present(folder: Path) -> None:
    data = folder / DATA
    if not data.exists():
        raise InvalidPathError(
            "there is no store here",
            path=str(folder),
            advice="Check the path, or open it without readonly=True to make a store.",
        )
    if not os.access(data, os.R_OK):
        raise InvalidPathError(
            "the store may not be read", path=str(folder), advice="Let this user read it."
        )


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        return
    folder.chmod(0o700)


def _make_file(file: Path) -> None:
    try:
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    try:
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)
