"""The store's folder and its two files: made, checked and measured."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lmdb

from langgraph.checkpoint.lmdb.errors import DamagedError, InvalidPathError
from langgraph.checkpoint.lmdb.kv.lmdb.errors import translate_lmdb_error, translate_os_error

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA: Final = "data.mdb"
LOCK: Final = "lock.mdb"
_NEW: Final = ".new"  # where files are made, before they are moved to their places whole
MAX_READERS: Final = 510
# LMDB's lock file has 192 bytes and then 64 for each reader but one.
_LOCK_SIZE: Final = 192 + (MAX_READERS - 1) * 64
# py-lmdb 3 can also make files of LMDB 1.0, whose format is another; ours stay of one format.
ENGINE: Final[dict[str, Any]] = (
    {"lib_version": 0} if hasattr(lmdb.Environment, "lib_version") else {}
)


def prepare(path: str | os.PathLike[str], *, readonly: bool, durable: bool) -> str:
    """Make the store's folder and files, for their owner only, unless they are there.

    Args:
        path: The folder.
        readonly: Make nothing.
        durable: Flush what was made to the disk, names included, before returning.

    Returns:
        The folder's real path.

    Raises:
        InvalidPathError: There cannot be a store here, or there is none to read.
        StoreFullError: There is no room for it.
        DamagedError: What is there was a store once.
    """
    name = os.fspath(path)
    if not isinstance(name, str):
        raise InvalidPathError(f"the path is {type(name).__name__}, not str", advice="Pass a str.")
    if not name or "\0" in name:
        raise InvalidPathError("not a path", path=name, advice="Name a folder for the store.")
    try:
        folder = Path(name).resolve()
        if folder.exists() and not folder.is_dir():
            advice = "Name a folder, for the store to make its files in."
            raise InvalidPathError("the path is a file", path=name, advice=advice)
        if not readonly:
            make_folder(folder, durable=durable)
            make_files(folder, durable=durable)
        _check_data(folder)
    except OSError as error:
        raise translate_os_error(error, name, "opening the store") from error
    except lmdb.Error as error:
        raise translate_lmdb_error(error, name, "making the store") from error
    except RuntimeError as error:  # a loop of symbolic links, before Python 3.13
        raise InvalidPathError(str(error), path=name) from error
    return str(folder)


def identity(folder: str) -> tuple[int, int]:
    """Device and inode of the data file: the same store by whatever path it is reached."""
    try:
        status = (Path(folder) / DATA).stat()
    except OSError as error:
        raise translate_os_error(error, folder, "looking for the store") from error
    return status.st_dev, status.st_ino


def is_at(folder: str, identity: tuple[int, int]) -> bool:
    """Whether the store with this `identity` is still the one in `folder`."""
    try:
        status = (Path(folder) / DATA).stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return False
    return (status.st_dev, status.st_ino) == identity


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
    """Whether there is a lock file that a reader can put itself in."""
    # Asked of the system rather than tried: closing a file drops the process's locks on it.
    return os.access(Path(folder) / LOCK, os.R_OK | os.W_OK)


def _check_data(folder: Path) -> None:
    data = folder / DATA
    if not data.exists():
        advice = "Check the path, or open it without readonly=True to make a store."
        raise InvalidPathError("there is no store here", path=str(folder), advice=advice)
    if not os.access(data, os.R_OK):
        advice = "Let this user read it."
        raise InvalidPathError("the store may not be read", path=str(folder), advice=advice)
    if data.is_file() and not data.stat().st_size:
        # LMDB would take it for a new store. Ours come into being whole.
        raise DamagedError("the data file is empty", path=str(folder), record=DATA)


def make_folder(folder: Path, *, durable: bool) -> None:
    """Make a folder, for its owner only, and those above it, unless they are there."""
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
    """Make the files that are missing, elsewhere, and move them to their places.

    A full disk leaves no half of one.

    The lock file has all its blocks from the start. LMDB would make it with holes, and a process
    that writes to one through its map is killed when the disk is full.
    """
    if (folder / LOCK).exists() and (folder / DATA).exists():
        return
    new = folder / _NEW
    with _turn(folder):
        shutil.rmtree(new, ignore_errors=True)
        try:
            new.mkdir(0o700)
            if not (folder / LOCK).exists():
                (new / LOCK).write_bytes(bytes(_LOCK_SIZE))
                _place(new / LOCK, folder / LOCK, durable=durable)
            if not (folder / DATA).exists():
                lmdb.open(str(new), lock=False, **ENGINE).close()
                _place(new / DATA, folder / DATA, durable=durable)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        if durable:
            flush(folder)


def _place(made: Path, place: Path, *, durable: bool) -> None:
    made.chmod(0o600)
    if durable:
        flush(made)
    made.rename(place)


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One process and thread at a time makes files in `folder`."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
