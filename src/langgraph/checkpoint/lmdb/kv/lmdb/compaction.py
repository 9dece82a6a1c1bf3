"""Return the blocks of free pages to the file system while the store is in use.

Deleting leaves free pages, which later commits fill. Until then their blocks can be removed from
the file, which keeps its length and gets holes. No page moves and other processes need no notice.
A crash leaves nothing half done: LMDB itself may overwrite these pages in the same transaction.
"""

from __future__ import annotations

import ctypes
import errno
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Final

from langgraph.checkpoint.lmdb.errors import DamagedError, StoreReplacedError, UsageError
from langgraph.checkpoint.lmdb.kv.lmdb.files import DATA, open_file
from langgraph.checkpoint.lmdb.kv.lmdb.meta_pages import MetaPage, read_meta_pages
from langgraph.checkpoint.lmdb.kv.lmdb.page_reader import PageReader

if TYPE_CHECKING:
    import lmdb

_BATCH: Final = 256  # holes in one write transaction, which keeps other writers waiting for 20 ms
_KEEP_SIZE: Final = 0x01  # flags of fallocate
_PUNCH_HOLE: Final = 0x02


class Compaction:
    """One pass over the free pages of a data file, from start to end.

    It opens the data file a second time. That is safe, because LMDB's locks are on the lock file.

    Args:
        folder: The store's folder.
        identity: Device and inode of the data file.

    Raises:
        StoreReplacedError: Another data file is there.
    """

    def __init__(self, folder: str, identity: tuple[int, int]) -> None:
        self._folder = folder
        self._file = open_file(folder, DATA, "r+b")
        status = os.fstat(self._file.fileno())
        if (status.st_dev, status.st_ino) != identity:
            self._file.close()
            raise StoreReplacedError("the store was replaced while open", path=folder)
        self._next = 0

    def punch_batch(self, transaction: int, oldest: int) -> bool:
        """Make the next holes; called in a write transaction.

        Args:
            transaction: Number of the write transaction.
            oldest: The result of `oldest_snapshot`.

        Returns:
            True if the end of the file is reached.
        """
        meta = read_meta_pages(self._file)[0]
        if meta.transaction != transaction - 1:
            raise UsageError(f"transaction {transaction} does not follow {meta.transaction}")
        lists = [pages for freed, pages in self._free_lists(meta) if freed < oldest]
        rest = merge(*(islice(p, bisect_left(p, self._next), None) for p in lists))
        ranges = list(islice(_ranges(rest), _BATCH))
        for first, stop in ranges:
            self._punch(first * meta.page_size, stop * meta.page_size)
            self._next = stop
        return len(ranges) < _BATCH

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _free_lists(self, meta: MetaPage) -> list[tuple[int, array[int]]]:
        """Return the number of each transaction that freed pages, and these pages, ascending."""
        reader = PageReader(self._file, meta.page_size)
        lists = []
        for key, value in reader.records(meta.free):
            pages = array("Q", value)[1:]  # the first item is their number
            pages.reverse()
            lists.append((int.from_bytes(key, "little"), pages))
        if reader.skipped:
            message = "the tree of free pages is damaged"
            raise DamagedError(message, path=self._folder, record=DATA)
        return lists

    def _punch(self, start: int, stop: int) -> None:
        handle = self._file.fileno()
        try:
            if os.lseek(handle, start, os.SEEK_DATA) >= stop:
                return
        except OSError as error:
            if error.errno != errno.ENXIO:  # the rest of the file is a hole
                raise
            return
        _punch_hole(handle, start, stop - start, self._folder)


def free_pages(reader: PageReader, meta: MetaPage) -> int:
    """Return the number of free pages of a data file, those that snapshots still use included."""
    return sum(int.from_bytes(value[:8], "little") for _, value in reader.records(meta.free))


def oldest_snapshot(env: lmdb.Environment, transaction: int) -> int:
    """Return the oldest snapshot that is open, or that LMDB may fall back to.

    Args:
        env: The LMDB environment.
        transaction: Number of the write transaction.
    """
    # A line for each reader: process, thread, and the number of the snapshot or "-".
    columns = [line.split() for line in env.readers().splitlines()[1:]]
    snapshots = [int(snapshot) for _, _, snapshot in columns if snapshot != "-"]
    return min(transaction - 1, *snapshots) if snapshots else transaction - 1


def _ranges(pages: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield ascending page numbers as ranges: the first page and the page after the last."""
    first = stop = -1
    for page in pages:
        if page != stop:
            if first >= 0:
                yield first, stop
            first = page
        stop = page + 1
    if first >= 0:
        yield first, stop


def _punch_hole(handle: int, start: int, length: int, folder: str) -> None:
    """Make a hole in a file, without changing the file's length."""
    number = errno.EOPNOTSUPP
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is not None:
        mode = _KEEP_SIZE | _PUNCH_HOLE
        while fallocate(handle, mode, ctypes.c_int64(start), ctypes.c_int64(length)):
            number = ctypes.get_errno()
            if number != errno.EINTR:
                break
        else:
            return
    if number in (errno.EOPNOTSUPP, errno.ENOSYS):
        raise UsageError(
            "the file system cannot free parts of a file",
            path=folder,
            advice="Make a backup, close the store everywhere, and replace it by the backup.",
        )
    raise OSError(number, os.strerror(number))
