"""Whether a store's files are still where they were opened.

The folder of an open store can be removed, moved or replaced. The process then goes on in files
that no other process finds. A commit that was acknowledged there would be lost.
"""

from __future__ import annotations

import errno
import os

from langgraph.checkpoint.lmdb.errors import DamagedError, StoreReplacedError
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.errors import translate_os_error


class ThreadVersion:
    """The paths of a store's two files, and what was at them.

    Where this process may no longer look, all counts as unchanged: its open files still work.

    Args:
        folder: The store's real path.

    Attributes:
        identity: Device and inode of the data file.
        folder: The folder.
        data: Path of the data file.
    """

    __slots__ = ("_length", "_lock", "_lock_file", "data", "folder", "identity")

    def __init__(self, folder: str) -> None:
        self.identity = files.identity(folder)
        self.data = f"{folder}/{files.DATA}"
        self._lock = f"{folder}/{files.LOCK}"
        self.folder = folder
        self._length = 0
        self._lock_file: tuple[int, int] | None = None

    def check(self) -> None:
        """See that the data file is at its path, and no shorter than it was.

        Raises:
            StoreReplacedError: It is not there, or another one is.
            DamagedError: It is shorter. LMDB would read beyond its end.
        """
        expected = self._length  # first: another thread may make the file longer
        try:
            status = os.stat(self.data)  # noqa: PTH116 - once per transaction
        except OSError as error:
            if isinstance(error, PermissionError):
                return
            self._missing(error)
            raise self._replaced() from error
        if (status.st_dev, status.st_ino) != self.identity:
            raise self._replaced()
        length = status.st_size
        if length < expected:
            message = f"the data file was cut short, to {length} bytes"
            raise DamagedError(message, path=self.folder, record=files.DATA)
        self._length = length

    def open(self) -> tuple[int, int] | None:
        """Note that the files are open from now on, and forget the length of the data file.

        Before this process has joined, another process may truncate the file.

        Returns:
            Device and inode of the lock file; None if there is none.
        """
        self._length = 0
        status = files.status(self.folder, files.LOCK)
        self._lock_file = None if status is None else (status.st_dev, status.st_ino)
        return self._lock_file

    def close(self) -> None:
        """Note that the files are closed: another process may cut off what is free."""
        self._length = 0

    def has_lock_file(self) -> bool:
        """Whether the lock file at its path is the one that is open."""
        try:
            status = os.stat(self._lock)  # noqa: PTH116 - once per commit
        except OSError as error:
            if isinstance(error, PermissionError):
                return True
            self._missing(error)
            return False
        return (status.st_dev, status.st_ino) == self._lock_file

    def _missing(self, error: OSError) -> None:
        """Return if an error says that there is no file; raise if it says anything else."""
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise translate_os_error(error, self.folder, "looking for the store") from error

    def _replaced(self) -> StoreReplacedError:
        message = "the store was removed, moved or replaced while open"
        return StoreReplacedError(message, path=self.folder)
