"""Room at the end of the data file, made ready before commits need it.

A commit that makes the file longer has the file system write its journal too; one that fills
blocks which the file has already does not. So the file is made longer in steps, with zeros: blocks
that are only reserved would cost the same journal when they are first written.

Nothing beyond the last page that LMDB has used means anything to it. Whoever holds the write lock
may put zeros there, a crash may leave them there, and whoever has the files alone may cut them off.
"""

from __future__ import annotations

import fcntl
import logging
import os
from contextlib import suppress
from typing import Final

from langgraph.checkpoint.lmdb.errors import InvalidPathError
from langgraph.checkpoint.lmdb.kv.lmdb.files import DATA, LOCK, open_descriptor, open_file
from langgraph.checkpoint.lmdb.kv.lmdb.kernel_locks import claim
from langgraph.checkpoint.lmdb.kv.lmdb.page_format import read_meta_pages

_SHARE: Final = 8  # room made at once: this part of what is in use, but
_LEAST: Final = 128 << 10
_MOST: Final = 1 << 20
_ENOUGH: Final = 4  # no more is made while this part of it is left

_LOW_SHARE: Final = 20  # a disk is nearly full when less than this part of it is left, but
_LOW_MOST: Final = 1 << 30
_logger: Final = logging.getLogger("langgraph.checkpoint.lmdb")


class Preallocator:
    """Keeps room at the end of one data file.

    It has a handle of its own on the file, which is harmless: LMDB's locks are on the other file.
    """

    __slots__ = ("_file", "_folder", "_length", "_warned")

    def __init__(self, folder: str) -> None:
        self._file = open_descriptor(folder, DATA, os.O_RDWR)
        self._folder = folder
        self._length = 0
        self._warned = False

    def reserve(self, used: int) -> bool:
        """Make room beyond the first `used` bytes; called inside a write transaction.

        What is written gets flushed with the transaction's own pages. Where there is no room the
        commit will say so, if it needs any.

        Returns:
            Whether the file had too little room.
        """
        room = min(max(used // _SHARE, _LEAST), _MOST)
        if self._length - used >= room // _ENOUGH:
            return False
        # Another process may have made room, or cut it off.
        length = os.fstat(self._file).st_size
        missing = used + room - length
        short = length - used < room // _ENOUGH
        if short:
            with suppress(OSError):
                length += os.pwrite(self._file, bytes(missing), length)
            self._warn()
        self._length = length
        return short

    def _warn(self) -> None:
        """Log a warning, once, when the disk is nearly full."""
        disk = os.fstatvfs(self._file)
        left, most = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        if not self._warned and left < min(most // _LOW_SHARE, _LOW_MOST):
            self._warned = True
            _logger.warning(
                "the disk of the store %r is nearly full: %d bytes are left. Make room, or delete "
                "threads and compact the store.",
                self._folder,
                left,
            )

    def close(self) -> None:
        """Give the handle back."""
        os.close(self._file)


def truncate_unused(folder: str) -> None:
    """Cut off the room at the end of the data file, unless any process has the store open.

    This process must not: closing the lock file drops its locks on it.
    """
    with (
        suppress(OSError, InvalidPathError),
        open_file(folder, LOCK, "r+b") as lock,
    ):
        # LMDB holds this byte shared while it has the store open, and waits for it to open one.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
        with open_file(folder, DATA, "r+b") as data:
            # Others may have it open with a lock file that was deleted.
            if not claim(data.fileno()):
                return
            used = max((root.last + 1) * root.page_size for root in read_meta_pages(data))
            if used < data.seek(0, os.SEEK_END):
                data.truncate(used)
