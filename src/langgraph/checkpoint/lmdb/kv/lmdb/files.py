"""The store's folder and its two files: made, checked and measured."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lmdb

from langgraph.checkpoint.lmdb.errors import DamagedError, InvalidPathError
from langgraph.checkpoint.lmdb.kv.lmdb.errors import (
    LMDB_FAILURES,
    translate_lmdb_error,
    translate_os_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA: Final = "data.mdb"
LOCK: Final = "lock.mdb"
_NEW: Final = ".new"  # where files are made, before they are moved to their places whole
_SQLITE: Final = b"SQLite format 3\0"
UNFINISHED: Final = "unfinished"
"""A data file that is being written, under a name by which no store has one."""
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
            kind = "a SQLite database" if _is_sqlite(folder) else "a file"
            raise InvalidPathError(f"the path is {kind}", path=name, advice=advice)
        if not readonly:
            make_folder(folder, durable=durable)
            make_files(folder, durable=durable)
        _check_files(folder)
    except OSError as error:
        raise translate_os_error(error, name, "opening the store") from error
    except LMDB_FAILURES as error:
        raise translate_lmdb_error(error, name, "making the store") from error
    except RuntimeError as error:  # a loop of symbolic links, before Python 3.13
        raise InvalidPathError(str(error), path=name) from error
    return str(folder)


def _is_sqlite(folder: Path) -> bool:
    """Return True if a path is a SQLite file."""
    if not folder.is_file():  # reading a pipe would wait for its writer
        return False
    with folder.open("rb") as stream:
        return stream.read(len(_SQLITE)) == _SQLITE


def status(folder: str | Path, name: str) -> os.stat_result | None:
    """What the system tells of a file of the store; None if there is no such file.

    Raises:
        InvalidPathError: It is not a regular file. Opening a pipe may wait forever, and opening a
            device may have an effect.
        OSError: The system does not tell.
    """
    place = Path(folder, name)
    try:
        found = place.stat()
    except FileNotFoundError:
        if not place.is_symlink():
            return None
        what = "a symbolic link to nothing"
    else:
        if stat.S_ISREG(found.st_mode):
            return found
        what = _kind(found.st_mode)
    raise _not_regular(folder, name, what)


def open_file(folder: str | Path, name: str, mode: str) -> FileIO:
    """Open a file of the store, without ever waiting for it.

    Args:
        folder: The store's folder.
        name: The file's name.
        mode: As of `open`.

    Raises:
        InvalidPathError: It is not a regular file.
        OSError: The system does not open it.
    """
    return FileIO(name, mode, opener=lambda name, flags: open_descriptor(folder, name, flags))


def open_descriptor(folder: str | Path, name: str, flags: int) -> int:
    """Do as `open_file`, with flags as of `os.open`; return a descriptor."""
    status(folder, name)
    handle = os.open(Path(folder, name), flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):  # put there in between
            raise _not_regular(folder, name, _kind(mode))
    except BaseException:
        os.close(handle)
        raise
    return handle


def identity(folder: str) -> tuple[int, int]:
    """Device and inode of the data file: the same store by whatever path it is reached."""
    try:
        found = (Path(folder) / DATA).stat()
    except OSError as error:
        raise translate_os_error(error, folder, "looking for the store") from error
    return found.st_dev, found.st_ino


def length(folder: str) -> int:
    """Bytes in the data file, holes included."""
    try:
        return (Path(folder) / DATA).stat().st_size
    except OSError as error:
        raise translate_os_error(error, folder, "measuring the store") from error


def occupied(folder: str) -> int:
    """Bytes that the file system has allocated for the store's files."""
    total = 0
    for name in (DATA, LOCK):
        found = status(folder, name)
        if found is not None:  # a store that is only read may do without a lock file
            total += found.st_blocks * 512
    return total


def can_lock(folder: str) -> bool:
    """Whether there is a lock file that a reader can put itself in."""
    # Asked of the system rather than tried: closing a file drops the process's locks on it.
    return os.access(Path(folder) / LOCK, os.R_OK | os.W_OK)


def _check_files(folder: Path) -> None:
    status(folder, LOCK)
    data = status(folder, DATA)
    if data is None:
        advice = "Check the path, or open it without readonly=True to make a store."
        raise InvalidPathError("there is no store here", path=str(folder), advice=advice)
    if not os.access(folder / DATA, os.R_OK):
        advice = "Let this user read it."
        raise InvalidPathError("the store may not be read", path=str(folder), advice=advice)
    if not data.st_size:
        # LMDB would take it for a new store. Ours come into being whole.
        raise DamagedError("the data file is empty", path=str(folder), record=DATA)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "of an unknown kind")


def _not_regular(folder: str | Path, name: str, what: str) -> InvalidPathError:
    message = f"{name} is {what}, not a regular file"
    advice = "Remove it, or name another folder."
    return InvalidPathError(message, path=str(folder), advice=advice)


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
    if None not in (status(folder, LOCK), status(folder, DATA)):
        return
    new = folder / _NEW
    with _turn(folder):
        remove(new)  # what a crash left
        try:
            new.mkdir(0o700)
        except FileExistsError:
            message = f"{_NEW} in the folder cannot be removed"
            raise InvalidPathError(message, path=str(folder), advice="Remove it.") from None
        try:
            if status(folder, LOCK) is None:
                (new / LOCK).write_bytes(bytes(_LOCK_SIZE))
                _place(new / LOCK, folder / LOCK, durable=durable)
            if status(folder, DATA) is None:
                lmdb.open(str(new), lock=False, **ENGINE).close()
                _place(new / DATA, folder / DATA, durable=durable)
        finally:
            remove(new)
        if durable:
            flush(folder)


def remove(folder: Path) -> None:
    """Remove a folder with nothing in it but files of a store, as far as the system lets it.

    No file is opened for it: what failed may have failed for want of descriptors.
    """
    with suppress(OSError):
        for name in (DATA, LOCK, UNFINISHED):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


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
