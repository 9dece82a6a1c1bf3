"""An LMDB data file, as LMDB 0.9 lays it out on a 64-bit machine: its two roots, and tree pages.

Each root is at the start of a page. Commits write them in turn, so the one with the greater
transaction number is the state of the store, and the other one is the state before.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Page header, magic, version, address and map size; then the two trees: page size in the padding of
# the first one, counts, root page; then the last page and the transaction.
_ROOT: Final = struct.Struct("=40x I 36x Q 8x 32x Q QQ")
PAGE_HEADER: Final = struct.Struct("=Q HHHH")  # number, padding, flags, bounds of the free middle
_NODE: Final = struct.Struct("=HHHH")  # size or child in two halves, flags, size of the key
_NUMBER: Final = struct.Struct("=Q")
_BRANCH: Final = 0x01
_BIG: Final = 0x01
NO_PAGE: Final = (1 << 64) - 1
"""The root of an empty tree."""


class Node(NamedTuple):
    """An entry of a page of a tree.

    Attributes:
        key: Empty in the first entry of a branch.
        child: Of a branch: the page below; else None.
        value: Of a leaf: the value, if it stands in the page; else None.
        first: The first of the pages that hold a value of a leaf on their own; else None.
        size: Bytes of the value.
    """

    key: bytes
    child: int | None
    value: bytes | None
    first: int | None
    size: int


def page_entries(page: bytes) -> Iterator[Node]:
    """The entries of a page of a tree, in order.

    Raises:
        struct.error: It is no whole page.
    """
    _, _, flags, lower, _ = PAGE_HEADER.unpack_from(page)
    for (offset,) in struct.iter_unpack("=H", page[PAGE_HEADER.size : lower]):
        low, high, node_flags, key_size = _NODE.unpack_from(page, offset)
        at = offset + _NODE.size + key_size
        key = page[at - key_size : at]
        size = low | high << 16
        if flags & _BRANCH:
            yield Node(key, size | node_flags << 32, None, None, 0)
        elif node_flags & _BIG:
            yield Node(key, None, None, _NUMBER.unpack_from(page, at)[0], size)
        else:
            yield Node(key, None, page[at : at + size], None, size)


class MetaPage(NamedTuple):
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


def read_meta_pages(file: BinaryIO) -> tuple[MetaPage, MetaPage]:
    """Both roots of a data file."""
    file.seek(0)
    first = MetaPage._make(_ROOT.unpack(file.read(_ROOT.size)))
    file.seek(first.page_size)
    return first, MetaPage._make(_ROOT.unpack(file.read(_ROOT.size)))
