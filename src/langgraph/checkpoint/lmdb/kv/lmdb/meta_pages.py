"""The two meta pages of a data file, as LMDB 0.9 writes them on a 64-bit machine.

A meta page makes a commit current. Commits write the two in turn: a transaction with an even number
writes page 0, the next one page 1. The newer meta page is the state of the store.

    meta page  number 8 | 2 | flags 2 | 4 | magic 4 | version 4 | 16
               | tree of free pages 48 | tree of records 48 | last page 8 | transaction 8
    tree       page size 4 | 36 | root page 8

All numbers are in the byte order of the machine; sizes are in bytes.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import BinaryIO, Final, NamedTuple

_META: Final = struct.Struct("=10xH4x II 16x I 36x Q 40x Q QQ")
_IS_META: Final = 0x08
_KINDS: Final = 0x0F  # the flags that name the kind of a page
_MAGIC_AND_VERSION: Final = (0xBEEFC0DE, 1)
_PAGE_SIZES: Final = tuple(1 << bits for bits in range(9, 17))


class MetaPage(NamedTuple):
    """The contents of a meta page.

    Attributes:
        page_size: Bytes of a page.
        free: Root page of the tree of free pages.
        main: Root page of the tree of records.
        last: Number of the last page that was ever used.
        transaction: Number of the transaction that wrote the meta page.
    """

    page_size: int
    free: int
    main: int
    last: int
    transaction: int


def read_meta_pages(file: BinaryIO) -> list[MetaPage]:
    """Return the valid meta pages of a data file, the newest first."""
    found = []
    for offset in (0, *_PAGE_SIZES):  # the second meta page is on the second page
        file.seek(offset)
        data = file.read(_META.size)
        if len(data) < _META.size:
            continue
        flags, magic, version, *fields = _META.unpack(data)
        meta = MetaPage(*fields)
        if (
            flags & _KINDS == _IS_META
            and (magic, version) == _MAGIC_AND_VERSION
            and meta.page_size in _PAGE_SIZES
            and offset in (0, meta.page_size)
        ):
            found.append(meta)
    return sorted(found, key=lambda meta: meta.transaction, reverse=True)


def used_length(meta_pages: list[MetaPage]) -> int:
    """Return the bytes of a data file that its meta pages use."""
    return max(((meta.last + 1) * meta.page_size for meta in meta_pages), default=0)


def rewrite_meta_pages(handle: int, page_size: int) -> None:
    """Write both meta pages as they are in memory, and flush; called in a write transaction.

    A failed write of a meta page may have reached the disk, while LMDB restored the page in
    memory. A failed fsync leaves pages marked as written that no later fsync writes. A process may
    die between write and fsync. In each case the disk may still need pages that the next commit
    overwrites, so a power cut would damage the store.

    Args:
        handle: Descriptor of the data file.
        page_size: Bytes of a page.

    Raises:
        OSError: The disk refuses the write. The store can be read, not written.
    """
    meta_pages = os.pread(handle, 2 * page_size, 0)
    if os.pwrite(handle, meta_pages, 0) < len(meta_pages):
        raise OSError(errno.EIO, "a write was cut short")
    os.fdatasync(handle)
