"""Whether a data file was cut short.

LMDB maps more than the file has and does not look how long it is: reading a page beyond its end
kills the process. A file may rightly end before the last page that was ever used, when that page
was freed before it was written, so what counts is whether every page in use is there.
"""

from __future__ import annotations

import os
import struct
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.page_format import (
    NO_PAGE,
    PAGE_HEADER,
    page_entries,
    read_meta_pages,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import lmdb


def check_length(folder: str, env: lmdb.Environment) -> None:
    """Raise DamagedError if the data file of an environment was cut short."""
    page_size = env.stat()["psize"]
    if files.length(folder) >= (env.info()["last_pgno"] + 1) * page_size:
        return
    with files.open_file(folder, files.DATA, "rb") as file, env.begin() as snapshot:
        if is_truncated(file, snapshot.id()):
            message = f"the data file was cut short, to {files.length(folder)} bytes"
            raise DamagedError(message, path=folder, record=files.DATA)


def is_truncated(file: BinaryIO, transaction: int) -> bool:
    """Whether a page in use lies beyond the end of the file.

    Args:
        file: The data file.
        transaction: The snapshot to look at, which the caller holds open.
    """
    root = read_meta_pages(file)[transaction & 1]
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
    waiting = [] if root == NO_PAGE else [root]
    while waiting:
        number = waiting.pop()
        yield number
        if number >= pages:
            continue
        file.seek(number * page_size)
        page = file.read(page_size)
        for node in page_entries(page):
            if node.child is not None:
                waiting.append(node.child)
            elif node.first is not None:
                yield node.first + (PAGE_HEADER.size + node.size - 1) // page_size
