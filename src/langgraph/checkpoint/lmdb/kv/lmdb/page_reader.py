"""A reader of the trees in a data file, as LMDB 0.9 writes them on a 64-bit machine.

    page      number 8 | 2 | flags 2 | end of offsets 2 | 2 | offsets of entries, 2 each | entries
    entry     low 2 | high 2 | flags 2 | key size 2 | key | value or number of an overflow page 8
    overflow  number 8 | 2 | flags 2 | number of pages 4 | value

All numbers are in the byte order of the machine; sizes are in bytes. In a leaf page, low and high
of an entry are the size of its value. In a branch page, low, high and flags are the number of the
page below.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, Final, NamedTuple

from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.base import MAX_KEY_SIZE
from langgraph.checkpoint.lmdb.kv.lmdb.meta_pages import read_meta_pages

_PAGE: Final = struct.Struct("=Q2xHHH")
_ENTRY: Final = struct.Struct("=HHHH")
_PAGE_NUMBER: Final = struct.Struct("=Q")
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_KINDS: Final = 0x0F  # the flags that name the kind of a page
_ON_OVERFLOW_PAGES: Final = 0x01  # flag of an entry
_NO_PAGE: Final = (1 << 64) - 1  # root of an empty tree


class Entry(NamedTuple):
    """An entry of a leaf page.

    Attributes:
        key: The key.
        value: The value, or None if it has pages of its own.
        overflow_page: Number of the first page of the value, or None if the leaf page holds it.
        size: Bytes of the value.
    """

    key: bytes
    value: bytes | None
    overflow_page: int | None
    size: int


def is_truncated(file: BinaryIO, transaction: int) -> bool:
    """Return True if the file ends before a page that a snapshot uses.

    LMDB maps more than the file holds and does not compare lengths: reading a page beyond the end
    kills the process. A file may end before the last page that was ever used, if that page was
    freed before it was written.

    Args:
        file: The data file.
        transaction: Number of the snapshot, which the caller holds open.
    """
    for meta in read_meta_pages(file):
        if meta.transaction == transaction:
            reader = PageReader(file, meta.page_size)
            entries = chain(reader.entries(meta.free), reader.entries(meta.main))
            return not all(map(reader.contains, entries)) or reader.ends_early
    return False  # two commits overwrote the snapshot's meta page: a process writes the file


def find_tree(file: BinaryIO) -> tuple[PageReader, int]:
    """Return a reader of a file, and the root page of the newest tree of records that exists.

    Raises:
        DamagedError: Both meta pages are invalid.
    """
    meta_pages = read_meta_pages(file)
    if not meta_pages:
        raise DamagedError("both meta pages of the data file are invalid", record="data.mdb")
    reader = PageReader(file, meta_pages[0].page_size)
    roots = [meta.main for meta in meta_pages]
    return reader, next((root for root in roots if reader.has_tree(root)), roots[0])


class PageReader:
    """A reader of the trees in a data file, which may be damaged.

    Invariants:
        - It reads no page outside of the file, and no page of a tree twice.
        - It skips and counts an invalid page with all pages below it, an invalid entry, and an
          entry with an invalid value.

    Attributes:
        skipped: Number of invalid pages and entries.
        ends_early: True if a page that was looked for is beyond the end of the file.
    """

    def __init__(self, file: BinaryIO, page_size: int) -> None:
        self.skipped = 0
        self.ends_early = False
        self._file = file
        self._page_size = page_size
        self._count = file.seek(0, os.SEEK_END) // page_size
        self._visited: set[int] = set()

    def records(self, root: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys and values of a tree in order.

        Args:
            root: Number of the tree's root page.
        """
        for entry in self.entries(root):
            value = entry.value if entry.overflow_page is None else self._overflow_value(entry)
            if value is None:
                self.skipped += 1
            else:
                yield entry.key, value

    def entries(self, root: int) -> Iterator[Entry]:
        """Yield the entries of a tree's leaf pages in order."""
        waiting = [] if root == _NO_PAGE else [root]
        while waiting:
            page = self._tree_page(waiting.pop())
            if page is None:
                continue
            _, flags, end, _ = _PAGE.unpack_from(page)
            below = []
            for (offset,) in struct.iter_unpack("=H", page[_PAGE.size : end & ~1]):
                if offset + _ENTRY.size > self._page_size:
                    self.skipped += 1
                elif flags & _BRANCH:
                    low, high, more, _ = _ENTRY.unpack_from(page, offset)
                    below.append(low | high << 16 | more << 32)
                elif entry := _leaf_entry(page, offset):
                    yield entry
                else:
                    self.skipped += 1
            waiting.extend(reversed(below))

    def contains(self, entry: Entry) -> bool:
        """Return True if the file holds the value of an entry up to its end."""
        if entry.overflow_page is None:
            return True
        return entry.overflow_page + self._overflow_count(entry) <= self._count

    def has_tree(self, root: int) -> bool:
        """Return True if a tree is empty, or its root page is in the file."""
        return root == _NO_PAGE or self._page(root) is not None

    def _tree_page(self, number: int) -> bytes | None:
        """Return a branch page or a leaf page; count an invalid page and return None."""
        page = None if number in self._visited else self._page(number)
        self._visited.add(number)
        if page is not None:
            _, flags, end, upper = _PAGE.unpack_from(page)
            ordered = _PAGE.size <= end <= upper <= self._page_size
            if ordered and flags & _KINDS in (_BRANCH, _LEAF):
                return page
        self.skipped += 1
        return None

    def _page(self, number: int, count: int = 1) -> bytes | None:
        """Return the bytes of consecutive pages, or None if the first has another number."""
        if number + count > self._count:
            self.ends_early = True
            return None
        self._file.seek(number * self._page_size)
        pages = self._file.read(count * self._page_size)
        valid = len(pages) == count * self._page_size and _PAGE.unpack_from(pages)[0] == number
        return pages if valid else None

    def _overflow_count(self, entry: Entry) -> int:
        """Return the number of pages that the value of an entry fills.

        The first page may name more: LMDB shortens a value in place within one transaction.
        """
        return (_PAGE.size + entry.size - 1) // self._page_size + 1

    def _overflow_value(self, entry: Entry) -> bytes | None:
        assert entry.overflow_page is not None
        pages = self._page(entry.overflow_page, self._overflow_count(entry))
        if pages is None or _PAGE.unpack_from(pages)[1] & _KINDS != _OVERFLOW:
            return None
        return pages[_PAGE.size : _PAGE.size + entry.size]


def _leaf_entry(page: bytes, offset: int) -> Entry | None:
    """Return the entry at an offset, or None if it is invalid."""
    low, high, flags, key_size = _ENTRY.unpack_from(page, offset)
    size = low | high << 16
    start = offset + _ENTRY.size + key_size
    key = page[start - key_size : start]
    if flags & ~_ON_OVERFLOW_PAGES or not 0 < len(key) == key_size <= MAX_KEY_SIZE:
        return None
    if flags:
        if start + _PAGE_NUMBER.size > len(page):
            return None
        return Entry(key, None, _PAGE_NUMBER.unpack_from(page, start)[0], size)
    value = page[start : start + size]
    return Entry(key, value, None, size) if len(value) == size else None
