"""The file of the log: preallocated, written from the start in each epoch."""

from __future__ import annotations

import errno
import os
import weakref
from pathlib import Path
from typing import Final

from langgraph.checkpoint.lmdb.errors import DamagedError, StoreReplacedError
from langgraph.checkpoint.lmdb.kv.lmdb import creation, files
from langgraph.checkpoint.lmdb.kv.log import records
from langgraph.checkpoint.lmdb.kv.log.records import Changes, Position

NAME: Final = "log.mdb"
SIZE: Final = 1 << 20
"""Bytes of a new file. All of them are written when it is created: the flush of a file that grows,
or has holes, also writes its metadata."""
NEW: Final = "log.new"
"""The file while it is created. A process that is killed then leaves it behind."""


class LogFile:
    """The open file of the log. At the latest, it is closed when the object is collected.

    Args:
        folder: The store's folder.
        size: Bytes that it must have.
        readonly: Accept a file that cannot be opened for writing.

    Raises:
        DamagedError: The file is missing or too short.
    """

    __slots__ = ("__weakref__", "_close", "_handle", "_identity", "_path", "_size", "folder")

    def __init__(self, folder: str, size: int, *, readonly: bool = False) -> None:
        self.folder = folder
        self._path = f"{folder}/{NAME}"
        found = files.status(folder, NAME)
        if found is None or found.st_size < size:
            what = "is missing" if found is None else f"has {found.st_size} bytes instead of {size}"
            raise DamagedError(
                f"the file {NAME} {what}: the last commits are lost",
                path=folder,
                record=NAME,
                advice=f"Put the original {NAME} of this store back, or save what is left with "
                "`langgraph-lmdb recover-pages`.",
            )
        try:
            self._handle = files.open_descriptor(folder, NAME, os.O_RDWR)
        except OSError as error:
            if not readonly or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            self._handle = files.open_descriptor(folder, NAME, os.O_RDONLY)
        self._close = weakref.finalize(self, os.close, self._handle)
        self._close.atexit = False
        status = os.fstat(self._handle)
        self._identity = (status.st_dev, status.st_ino)
        self._size = status.st_size

    def close(self) -> None:
        """Close the file; no thread uses it now or later."""
        self._close()

    def is_at_path(self) -> bool:
        """Return True if the file at the path is this one."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - once per commit
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def check(self) -> None:
        """Raise StoreReplacedError if another file is at the path."""
        if not self.is_at_path():
            raise StoreReplacedError(
                f"the file {NAME} was removed or replaced while open", path=self.folder
            )

    def read(self, position: Position) -> tuple[Changes, Position] | None:
        """Return the record behind a position, as `records.decode` does.

        Raises:
            DamagedError: Its checksum is right, but its payload is not.
        """
        # The bytes are copied once and then checked: another process may be overwriting them.
        header = os.pread(self._handle, records.HEADER_SIZE, position.offset)
        length = records.payload_length(position, header)
        start = position.offset + records.HEADER_SIZE
        if length is None or length > self._size - start:
            return None
        payload = os.pread(self._handle, length, start)
        return records.decode(position, header, payload)

    def write(self, record: bytes, offset: int) -> None:
        """Write a record."""
        _write(self._handle, record, offset)

    def flush(self) -> None:
        """Flush the file to the disk."""
        # The whole file: a process that died may have left records that are not flushed.
        os.fdatasync(self._handle)


def damaged(folder: str) -> DamagedError:
    """Return the error for commits that were in the log and cannot be read."""
    return DamagedError(
        f"the file {NAME} is damaged: commits at its end cannot be read",
        path=folder,
        record=NAME,
        advice="Close the store in all processes: one that has read these commits stores them "
        "then. Or restore a backup.",
    )


def _write(handle: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        done = os.pwrite(handle, rest, offset)
        if not done:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rest, offset = rest[done:], offset + done


def create(folder: str) -> int:
    """Create the file, completely or not at all, unless it is there; return its size.

    Then it is in the folder on the disk as well.
    """
    found = files.status(folder, NAME)
    if found is not None and found.st_size:
        creation.flush(Path(folder))  # another process may have died before it did
        return found.st_size
    new = Path(folder, NEW)
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(handle, bytes(SIZE), 0)
            os.fsync(handle)
        finally:
            os.close(handle)
        new.replace(Path(folder, NAME))
    except OSError:
        new.unlink(missing_ok=True)
        raise
    creation.flush(Path(folder))
    return SIZE


def occupied(folder: str) -> int:
    """Return the bytes that the file system has allocated for the file."""
    found = files.status(folder, NAME)
    return 0 if found is None else found.st_blocks * 512
