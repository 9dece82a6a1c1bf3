"""Reads records out of a data file without LMDB: what damaged pages leave over.

It goes down from the root like LMDB does, but takes nothing for granted: a page that is not what
its place says is left out with all that hangs on it, and none is visited twice. LMDB's layout, in
the byte order of the machine:

    page      number 8 | 2 | flags 2 | lower 2 | upper 2 | offsets of nodes, 2 each | nodes
    overflow  number 8 | 2 | flags 2 | count of pages 4 | data
    node      low 2 | high 2 | flags 2 | size of the key 2 | key | data
    root      page | magic 4 | version 4 | 16 | free pages: tree | records: tree | 8 | age 8
    tree      size of pages 4 | 36 | its first page 8

Low and high of a node are the size of its data, or with the flags the page that a branch leads to.
"""

from __future__ import annotations

import struct
from io import BufferedReader
from typing import TYPE_CHECKING, BinaryIO

from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.base import MAX_KEY_SIZE
from langgraph.checkpoint.lmdb.kv.lmdb import files

if TYPE_CHECKING:
    from collections.abc import Iterator

_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8
_TYPES = _BRANCH | _LEAF | _OVERFLOW | _META
_BIG = 1  # a node whose data are on overflow pages
_MAGIC = 0xBEEFC0DE
_HEAD = 16
_NOWHERE = (1 << 64) - 1
_MAX_DEPTH = 32
_PAGE = struct.Struct("=Q2xHHH")
_NODE = struct.Struct("=HHHH")
_META_SIZE = _HEAD + 136


class PageReader:
    """What can be read of a data file.

    Args:
        file: The file.

    Attributes:
        skipped: How many pages were not what they should be.

    Raises:
        DamagedError: Neither of its roots can be read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.skipped = 0
        self._seen: set[int] = set()
        self._length = file.seek(0, 2)
        self._size, meta_pages = self._roots()
        if not meta_pages:
            raise DamagedError("neither root of the data file can be read", record=files.DATA)
        self._root = meta_pages[0]
        for root in meta_pages:  # the newest that leads anywhere
            if root == _NOWHERE or self._page(root) is not None:
                self._root = root
                break

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """The records in the order of the tree."""
        if self._root != _NOWHERE:
            yield from self._walk(self._root, 0)

    def _roots(self) -> tuple[int, list[int]]:
        """The size of pages, and where the trees of both roots begin, the newer first."""
        found: list[tuple[int, int]] = []
        size = 0
        sizes = [1 << bits for bits in range(9, 17)]
        for at in (0, *sizes):  # the second root is on the second page
            self._file.seek(at)
            page = self._file.read(_META_SIZE)
            if len(page) < _META_SIZE or _PAGE.unpack_from(page)[1] & _TYPES != _META:
                continue
            magic, version, named = struct.unpack_from("=II16xI", page, _HEAD)
            if magic != _MAGIC or version != 1 or named not in sizes or at not in (0, named):
                continue
            (first,) = struct.unpack_from("=Q", page, _HEAD + 24 + 48 + 40)
            (number,) = struct.unpack_from("=Q", page, _HEAD + 24 + 96 + 8)
            size = named
            found.append((number, first))
        return size, [first for _, first in sorted(found, reverse=True)]

    def _page(self, number: int, count: int = 1) -> bytes | None:
        """The bytes of pages, if the first is the one of this number."""
        if number < 2 or (number + count) * self._size > self._length:
            return None
        self._file.seek(number * self._size)
        page = self._file.read(count * self._size)
        same = len(page) == count * self._size and _PAGE.unpack_from(page)[0] == number
        return page if same else None

    def _walk(self, number: int, depth: int) -> Iterator[tuple[bytes, bytes]]:
        page = None if number in self._seen or depth > _MAX_DEPTH else self._page(number)
        self._seen.add(number)
        if page is None:
            self.skipped += 1
            return
        _, flags, lower, upper = _PAGE.unpack_from(page)
        kind = flags & _TYPES
        if kind not in (_BRANCH, _LEAF) or not _HEAD <= lower <= upper <= self._size:
            self.skipped += 1
            return
        for index in range(_HEAD, lower - 1, 2):
            (at,) = struct.unpack_from("=H", page, index)
            if at + _NODE.size > self._size:
                self.skipped += 1
                continue
            low, high, more, length = _NODE.unpack_from(page, at)
            if kind == _BRANCH:
                yield from self._walk(low | high << 16 | more << 32, depth + 1)
                continue
            begin = at + _NODE.size
            key = page[begin : begin + length]
            value = self._value(page, begin + length, low | high << 16, more)
            if len(key) != length or not 0 < length <= MAX_KEY_SIZE or value is None:
                self.skipped += 1
                continue
            yield key, value

    def _value(self, page: bytes, at: int, size: int, flags: int) -> bytes | None:
        if flags & ~_BIG:
            return None
        if not flags & _BIG:
            value = page[at : at + size]
            return value if len(value) == size else None
        if at + 8 > len(page):
            return None
        (number,) = struct.unpack_from("=Q", page, at)
        first = self._page(number)
        if first is None or _PAGE.unpack_from(first)[1] & _TYPES != _OVERFLOW:
            return None
        (count,) = struct.unpack_from("=I", first, 12)
        if not _HEAD + size <= count * self._size <= _HEAD + size + self._size:
            return None
        pages = self._page(number, count)
        return None if pages is None else pages[_HEAD : _HEAD + size]


def open_file(folder: str) -> BinaryIO:
    """The data file of a store."""
    return BufferedReader(files.open_file(folder, files.DATA, "rb"))
