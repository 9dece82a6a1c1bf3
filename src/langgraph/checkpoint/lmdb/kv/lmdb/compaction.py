"""Blocks of free pages, given back to the file system while the store is in use.

What was deleted leaves free pages, which later commits fill. Until then their blocks can be taken
out of the file: it keeps its length and gets holes. No page is moved, no process has to be told,
and nothing changes that a crash could leave half done: only such pages lose their blocks as LMDB
itself might overwrite in the same write transaction.
"""

from __future__ import annotations

import ctypes
import errno
import os
from array import array
from bisect import bisect_left
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final

from langgraph.checkpoint.lmdb.errors import StoreReplacedError, UsageError
from langgraph.checkpoint.lmdb.kv.lmdb.files import DATA, open_file
from langgraph.checkpoint.lmdb.kv.lmdb.page_format import (
    NO_PAGE,
    PAGE_HEADER,
    MetaPage,
    page_entries,
    read_meta_pages,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EXTENTS: Final = 256  # taken out in one write transaction: some 20 ms for other writers
_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02


class Compaction:
    """One pass over the free pages of a data file, from its start to its end.

    It has a handle of its own on the file, which is harmless: LMDB's locks are on the other file.

    Args:
        folder: The store's folder.
        identity: Device and inode of its data file.

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

    def go_on(self, transaction: int, oldest: int) -> bool:
        """Take out some blocks; called inside a write transaction.

        Args:
            transaction: The number of the write transaction.
            oldest: The oldest snapshot that anyone reads, or that LMDB may fall back to.

        Returns:
            Whether the end of the file is reached.
        """
        root = max(read_meta_pages(self._file), key=lambda root: root.transaction)
        if root.transaction != transaction - 1:
            raise UsageError(f"transaction {transaction} does not follow {root.transaction}")
        lists = [pages for freed, pages in _free_lists(self._file, root) if freed < oldest]
        rest = merge(*(islice(p, bisect_left(p, self._next), None) for p in lists))
        extents = list(islice(_extents(rest), _EXTENTS))
        for first, stop in extents:
            self._take_out(first * root.page_size, stop * root.page_size)
            self._next = stop
        return len(extents) < _EXTENTS

    def close(self) -> None:
        """Give the handle back."""
        self._file.close()

    def _take_out(self, start: int, stop: int) -> None:
        handle = self._file.fileno()
        try:
            if os.lseek(handle, start, os.SEEK_DATA) >= stop:
                return
        except OSError as error:
            if error.errno != errno.ENXIO:  # which says that all the rest is a hole
                raise
            return
        _punch(handle, start, stop - start, self._folder)


def _free_lists(file: BinaryIO, root: MetaPage) -> Iterator[tuple[int, array[int]]]:
    """The pages that each transaction freed, ascending."""
    waiting = [] if root.free == NO_PAGE else [root.free]
    while waiting:
        for node in page_entries(_read(file, waiting.pop() * root.page_size, root.page_size)):
            if node.child is not None:
                waiting.append(node.child)
                continue
            value = node.value
            if node.first is not None:
                value = _read(file, node.first * root.page_size + PAGE_HEADER.size, node.size)
            pages = array("Q", value or b"")[1:]  # behind their number
            pages.reverse()
            yield int.from_bytes(node.key, "little"), pages


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    return os.pread(file.fileno(), size, offset)


def _extents(pages: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending pages as ranges, first and stop."""
    first = stop = None
    for page in pages:
        if page != stop:
            if first is not None and stop is not None:
                yield first, stop
            first = page
        stop = page + 1
    if first is not None and stop is not None:
        yield first, stop


def _punch(handle: int, start: int, length: int, folder: str) -> None:
    """Make a hole in a file, without a change of its length."""
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate
    except AttributeError:
        number = errno.EOPNOTSUPP
    else:
        mode = _KEEP_SIZE | _PUNCH_HOLE
        while call(handle, mode, ctypes.c_int64(start), ctypes.c_int64(length)):
            number = ctypes.get_errno()
            if number != errno.EINTR:
                break
        else:
            return
    if number in (errno.EOPNOTSUPP, errno.ENOSYS):
        raise UsageError(
            "the file system cannot give back parts of a file",
            path=folder,
            advice="Make a backup, and let it take the store's place while nobody has it open.",
        )
    raise OSError(number, os.strerror(number))
