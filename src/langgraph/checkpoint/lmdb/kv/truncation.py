"""Whether a data file was cut short.

LMDB maps more than the file has and does not look how long it is: reading a page beyond its end
kills the process. A file may rightly end before the last page that was ever used, when that page
was freed before it was written, so what counts is whether every page in use is there.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# The layout is that of LMDB 0.9 on a 64-bit machine.
_META: Final = struct.Struct("=16x IIQQ 8x32xQ 8x32xQ QQ")
_PAGE: Final = struct.Struct("=Q HHHH")
_NODE: Final = struct.Struct("=HHHH")
_NUMBER: Final = struct.Struct("=Q")
_BRANCH: Final = 0x01
_BIG: Final = 0x01
_NONE: Final = (1 << 64) - 1


def is_cut_short(file: BinaryIO, page_size: int, transaction_id: int) -> bool:
    """Whether a page in use lies beyond the end of the file.

    Args:
        file: The data file.
        page_size: Bytes of a page.
        transaction_id: The snapshot to look at, which the caller holds open.
    """
    pages = file.seek(0, 2) // page_size
    file.seek((transaction_id & 1) * page_size)
    _, _, _, _, free, main, _, found = _META.unpack(file.read(_META.size))
    if found != transaction_id:  # two commits later already: another process is writing, and well
        return False
    try:
        return any(
            last >= pages
            for root in (free, main)
            for last in islice(_used(file, page_size, pages, root), pages)
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
