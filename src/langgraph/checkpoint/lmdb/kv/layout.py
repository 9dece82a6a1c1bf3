"""The two roots of an LMDB data file, as LMDB 0.9 lays them out on a 64-bit machine.

Each root is at the start of a page. Commits write them in turn, so the one with the greater
transaction number is the state of the store, and the other one is the state before.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Final, NamedTuple

# Page header, magic, version, address and map size; then the two trees: page size in the padding of
# the first one, counts, root page; then the last page and the transaction.
_ROOT: Final = struct.Struct("=40x I 36x Q 8x 32x Q QQ")


class Root(NamedTuple):
    """One of the two roots.

    Attributes:
        page_size: Bytes of a page.
        free: Page number of the root of the tree of free pages.
        main: Page number of the root of the tree of what is stored.
        last: The last page that was ever used.
        transaction: The transaction that wrote it.
    """

    page_size: int
    free: int
    main: int
    last: int
    transaction: int


def read_roots(file: BinaryIO) -> tuple[Root, Root]:
    """Both roots of a data file."""
    file.seek(0)
    first = Root._make(_ROOT.unpack(file.read(_ROOT.size)))
    file.seek(first.page_size)
    return first, Root._make(_ROOT.unpack(file.read(_ROOT.size)))
