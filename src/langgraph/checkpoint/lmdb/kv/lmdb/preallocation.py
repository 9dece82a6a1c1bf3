"""Zeros at the end of the data file, for later commits to fill.

A commit that makes the file longer makes the file system write its journal too. A commit that fills
blocks which the file has does not. So the file grows in steps, by written zeros: blocks that are
only reserved would cost the same journal entry at their first write.

LMDB ignores what is behind the last page that was used. A process may write zeros there while it
holds the write lock. A crash may leave them. A process may remove them if no other has the store
open.
"""

from __future__ import annotations

import fcntl
import logging
import os
from contextlib import suppress
from typing import Final

from langgraph.checkpoint.lmdb.errors import InvalidPathError
from langgraph.checkpoint.lmdb.kv.lmdb.files import DATA, LOCK, open_descriptor, open_file
from langgraph.checkpoint.lmdb.kv.lmdb.meta_pages import read_meta_pages, used_length
from langgraph.checkpoint.lmdb.kv.lmdb.process_locks import claim

_SHARE: Final = 8  # a step is this part of the used bytes, within the bounds below
_MIN_STEP: Final = 128 << 10
_MAX_STEP: Final = 1 << 20
_REFILL: Final = 4  # the file grows when less than this part of a step is left
_LOW_SHARE: Final = 20  # a disk is nearly full when less than this part is free, and less than
_LOW_BYTES: Final = 1 << 30
_logger: Final = logging.getLogger("langgraph.checkpoint.lmdb")


class Preallocator:
    """A writer of zeros at the end of one data file.

    It opens the data file a second time. That is safe, because LMDB's locks are on the lock file.
    """

    __slots__ = ("_file", "_folder", "_length", "_warned")

    def __init__(self, folder: str) -> None:
        self._file = open_descriptor(folder, DATA, os.O_RDWR)
        self._folder = folder
        self._length = 0
        self._warned = False

    def reserve(self, used: int) -> bool:
        """Make the file longer if little is left behind the used bytes; called in a transaction.

        The transaction's fsync flushes the zeros. On a full disk nothing is written, and the commit
        fails if it needs the space.

        Returns:
            True if little was left.
        """
        step = min(max(used // _SHARE, _MIN_STEP), _MAX_STEP)
        if self._length - used >= step // _REFILL:
            return False
        # Another process may have changed the length.
        length = os.fstat(self._file).st_size
        missing = used + step - length
        short = length - used < step // _REFILL
        if short:
            with suppress(OSError):
                length += os.pwrite(self._file, bytes(missing), length)
            self._warn_if_low()
        self._length = length
        return short

    def _warn_if_low(self) -> None:
        disk = os.fstatvfs(self._file)
        free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        if not self._warned and is_nearly_full(free, total):
            self._warned = True
            _logger.warning(
                "the disk of the store %r is nearly full: %d bytes are left. Make room, or delete "
                "threads and compact the store.",
                self._folder,
                free,
            )

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def is_nearly_full(free: int, total: int) -> bool:
    """Return True if a disk with so many free bytes and bytes in total is nearly full."""
    return free < min(total // _LOW_SHARE, _LOW_BYTES)


def truncate_unused(folder: str) -> None:
    """Remove the zeros at the end of the data file, unless a process has the store open.

    This process must have closed it: closing the lock file releases the process's locks on it.
    """
    with (
        suppress(OSError, InvalidPathError),
        open_file(folder, LOCK, "r+b") as lock,
    ):
        # LMDB locks this byte, shared, while the store is open, and exclusively to open it.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
        with open_file(folder, DATA, "r+b") as data:
            # Other processes may use a lock file that was deleted.
            if not claim(data.fileno()):
                return
            meta_pages = read_meta_pages(data)
            used = used_length(meta_pages)
            if len(meta_pages) == 2 and used < data.seek(0, os.SEEK_END):
                data.truncate(used)
