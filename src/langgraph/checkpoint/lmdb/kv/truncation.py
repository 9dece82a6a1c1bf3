"""Whether a data file was cut short.

LMDB maps more than the file has and does not look how long it is: reading a page beyond its end
kills the process. A file may rightly end before the last page that was ever used, when that page
was freed before it was written, so what counts is whether every page in use is there.
"""

from __future__ import annotations

import os
import struct
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final

from langgraph.checkpoint.lmdb.kv.layout import read_roots

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE: Final = struct.Struct("=Q HHHH")
_NODE: Final = struct.Struct("=HHHH")
_NUMBER: Final = struct.Struct("=Q")
_BRANCH: Final = 0x01
_BIG: Final = 0x01
_NONE: Final = (1 << 64) - 1


def is_cut_short(file: BinaryIO, transaction: int) -> bool:
    """Whether a page in use lies beyond the end of the file.

    Args:
        file: The data file.
        transaction: The snapshot to look at, which the caller holds open.
    """
    root = read_roots(file)[transaction & 1]
    if root.transaction != transaction:  # two commits later already: somebody writes, and well
        return False
    pages = file.seek(0, os.SEEK_END) // root.page_size
    try:
        return any(
            last >= pages
            for tree in (root.free, root.main)
            for last in islice(_used(file, root.page_size, pages, tree), pages)
        )
    except struct.error:
        return True


def _used(file: BinaryIO, page_size: int, pages: int, root: int) -> Iterator[int]:
    """The last page of each run of pages in use below `root`."""
    waiting = [] if root == _NONE else [root]
    while waiting:
        number = waiting.pop()
        yield number
        if number >= pages:
            continue
        file.seek(number * page_size)
        page = file.read(page_size)
        _, _, flags, lower, _ = _PAGE.unpack_from(page)
        for (offset,) in struct.iter_unpack("=H", page[_PAGE.size : lower]):
            low, high, node_flags, key_size = _NODE.unpack_from(page, offset)
            if flags & _BRANCH:
                waiting.append(low | high << 16 | node_flags << 32)
            elif node_flags & _BIG:
                (first,) = _NUMBER.unpack_from(page, offset + _NODE.size + key_size)
                size = _PAGE.size + (low | high << 16)
                yield first + (size - 1) // page_size
