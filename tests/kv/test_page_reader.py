"""Trees of data files are read from their bytes, without LMDB."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.meta_pages import read_meta_pages
from langgraph.checkpoint.lmdb.kv.lmdb.page_reader import find_tree, is_truncated
from tests.kv.test_lmdb_sharing import content

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langgraph.checkpoint.lmdb.kv import LmdbStore, Writer

    Open = Callable[..., LmdbStore]


def fill(writer: Writer) -> None:
    """Write values of all sizes: within a page, on one overflow page, and on several."""
    for number in range(2000):
        writer.put(b"%05d" % number, os.urandom(number * 5))


def read(folder: Path) -> tuple[dict[bytes, bytes], int]:
    """Return the records that the reader finds, and the number of skipped pages and entries."""
    with files.open_file(folder, files.DATA, "rb") as file:
        reader, root = find_tree(file)
        return dict(reader.records(root)), reader.skipped


def test_all_records_are_read(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb()
    assert read(folder) == ({}, 0)
    store.write(fill)
    assert read(folder) == (content(store), 0)
    assert len(content(store)) == 2000


def test_value_that_became_shorter_in_its_transaction_is_read(
    open_lmdb: Open, folder: Path
) -> None:
    """LMDB keeps the pages of the longer value, so that the first page names too many."""

    def shorten(writer: Writer) -> None:
        writer.put(b"k", bytes(50_000))
        writer.put(b"k", b"short" * 1000)

    store = open_lmdb()
    store.write(shorten)
    assert read(folder) == ({b"k": b"short" * 1000}, 0)


def test_damaged_page_is_skipped_and_counted(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb()
    store.write(lambda writer: [writer.put(b"%05d" % n, os.urandom(500)) for n in range(2000)])
    expected = content(store)
    store.close()
    with (folder / "data.mdb").open("r+b") as file:
        size = read_meta_pages(file)[0].page_size
        for number in range(2, file.seek(0, os.SEEK_END) // size, 50):
            file.seek(number * size)
            file.write(b"\xff" * 16)
    found, skipped = read(folder)
    assert skipped > 0
    assert 0 < len(found) < len(expected)
    assert found.items() <= expected.items()


def test_every_lost_page_is_noticed(open_lmdb: Open, folder: Path) -> None:
    """The file is cut at each page that is in use."""
    store = open_lmdb()
    store.write(lambda writer: [writer.put(b"%d" % n, bytes(n * 100)) for n in range(200)])
    with store.read(), files.open_file(folder, files.DATA, "r+b") as file:
        newest = read_meta_pages(file)[0]
        assert not is_truncated(file, newest.transaction)
        assert not is_truncated(file, newest.transaction + 2)  # another process commits
    store.close()
    with (folder / "data.mdb").open("r+b") as file:
        for pages in range(newest.last, 2, -7):
            file.truncate(pages * newest.page_size)
            assert is_truncated(file, newest.transaction)


def test_file_without_a_valid_meta_page_is_refused(open_lmdb: Open, folder: Path) -> None:
    open_lmdb().close()
    (folder / "data.mdb").write_bytes(bytes(1 << 16))
    with pytest.raises(DamagedError, match="both meta pages"):
        read(folder)
