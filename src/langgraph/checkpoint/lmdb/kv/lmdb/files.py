"""The two files of a store: open them, measure them, and notice that they were replaced."""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path
from typing import Any, Final

import lmdb

from langgraph.checkpoint.lmdb.errors import DamagedError, InvalidPathError, StoreReplacedError
from langgraph.checkpoint.lmdb.kv.lmdb.errors import translate_os_error

DATA: Final = "data.mdb"
LOCK: Final = "lock.mdb"
MAX_READERS: Final = 510
ENGINE: Final[dict[str, Any]] = (
    {"lib_version": 0} if hasattr(lmdb.Environment, "lib_version") else {}
)
"""Arguments of `lmdb.open` that choose the format of LMDB 0.9. py-lmdb 3 also makes files of LMDB
1.0, in another format."""


class OpenFiles:
    """The paths of an open store's files, and the identity of the files that were opened there.

    The folder of an open store can be removed, moved or replaced. A process that continued would
    commit to files that no other process finds, and the commits would be lost. So each transaction
    compares the files at the paths with the open ones. Files that this process may no longer look
    at count as unchanged: the open ones still work.

    Args:
        folder: The store's real path.

    Attributes:
        identity: Device and inode of the data file.
        folder: The folder.
    """

    __slots__ = ("_data", "_length", "_lock", "_lock_file", "folder", "identity")

    def __init__(self, folder: str) -> None:
        self.identity = identity(folder)
        self.folder = folder
        self._data = f"{folder}/{DATA}"
        self._lock = f"{folder}/{LOCK}"
        self._length = 0
        self._lock_file: tuple[int, int] | None = None

    def check(self) -> None:
        """Check that the data file is at its path, and not shorter than before.

        Raises:
            StoreReplacedError: It is missing, or another file is there.
            DamagedError: It is shorter. LMDB would read beyond its end.
        """
        expected = self._length  # first: another thread may make the file longer
        try:
            found = os.stat(self._data)  # noqa: PTH116 - once per transaction
        except OSError as error:
            if isinstance(error, PermissionError):
                return
            self._require_missing(error)
            raise self._replaced() from error
        if (found.st_dev, found.st_ino) != self.identity:
            raise self._replaced()
        length = found.st_size
        if length < expected:
            message = f"the data file was cut short, to {length} bytes"
            raise DamagedError(message, path=self.folder, record=DATA)
        self._length = length

    def open(self) -> tuple[int, int] | None:
        """Remember the lock file, and forget the length of the data file.

        Another process may truncate the data file before this process has joined.

        Returns:
            Device and inode of the lock file; None if it is missing.
        """
        self._length = 0
        found = status(self.folder, LOCK)
        self._lock_file = None if found is None else (found.st_dev, found.st_ino)
        return self._lock_file

    def close(self) -> None:
        """Forget the length: another process may truncate the file once it is closed."""
        self._length = 0

    def has_lock_file(self) -> bool:
        """Return True if the lock file at its path is the open one."""
        try:
            found = os.stat(self._lock)  # noqa: PTH116 - once per commit
        except OSError as error:
            if isinstance(error, PermissionError):
                return True
            self._require_missing(error)
            return False
        return (found.st_dev, found.st_ino) == self._lock_file

    def _require_missing(self, error: OSError) -> None:
        """Return if an error says that the file is missing; raise StoreIOError otherwise."""
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise translate_os_error(error, self.folder, "looking for the store") from error

    def _replaced(self) -> StoreReplacedError:
        message = "the store was removed, moved or replaced while open"
        return StoreReplacedError(message, path=self.folder)


def status(folder: str | Path, name: str) -> os.stat_result | None:
    """Return the status of a file of the store, or None if it is missing.

    Raises:
        InvalidPathError: It is not a regular file. Opening a pipe may wait forever, and opening a
            device may have an effect.
        OSError: The system refuses.
    """
    path = Path(folder, name)
    try:
        found = path.stat()
    except FileNotFoundError:
        if not path.is_symlink():
            return None
        what = "a symbolic link to nothing"
    else:
        if stat.S_ISREG(found.st_mode):
            return found
        what = _kind(found.st_mode)
    raise _not_regular(folder, name, what)


def open_file(folder: str | Path, name: str, mode: str) -> FileIO:
    """Open a file of the store, without waiting.

    Args:
        folder: The store's folder.
        name: The file's name.
        mode: Mode, as `open` takes it.

    Raises:
        InvalidPathError: It is not a regular file.
        OSError: The system refuses.
    """
    return FileIO(name, mode, opener=lambda name, flags: open_descriptor(folder, name, flags))


def open_descriptor(folder: str | Path, name: str, flags: int) -> int:
    """Open a file like `open_file`, with the flags of `os.open`; return a descriptor."""
    status(folder, name)
    handle = os.open(Path(folder, name), flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):  # created after the check
            raise _not_regular(folder, name, _kind(mode))
    except BaseException:
        os.close(handle)
        raise
    return handle


def identity(folder: str) -> tuple[int, int]:
    """Return the device and inode of the data file, which identify the store on every path."""
    try:
        found = (Path(folder) / DATA).stat()
    except OSError as error:
        raise translate_os_error(error, folder, "looking for the store") from error
    return found.st_dev, found.st_ino


def length(folder: str) -> int:
    """Return the length of the data file in bytes, holes included."""
    try:
        return (Path(folder) / DATA).stat().st_size
    except OSError as error:
        raise translate_os_error(error, folder, "measuring the store") from error


def occupied(folder: str) -> int:
    """Return the bytes that the file system has allocated for the store's files."""
    total = 0
    for name in (DATA, LOCK):
        found = status(folder, name)
        if found is not None:  # a read-only store may lack a lock file
            total += found.st_blocks * 512
    return total


def can_lock(folder: str) -> bool:
    """Return True if this process may write to the lock file."""
    # Opening the file would be unsafe: closing it drops the process's locks on it.
    return os.access(Path(folder) / LOCK, os.R_OK | os.W_OK)


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
