"""Files of an open store that are removed, moved or replaced: no write is lost with them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    LmdbSaverError,
    StoreReplacedError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore
from tests.kv.processes import in_fork, in_new_process
from tests.kv.test_lmdb_files import as_nobody
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Open = "Callable[..., LmdbStore]"


def make_store(folder: Path) -> None:
    """A store of another process."""
    in_new_process(
        "import sys\n"
        "from langgraph.checkpoint.lmdb.kv import LmdbStore\n"
        "store = LmdbStore.open(sys.argv[1], sync='off')\n"
        "store.write(lambda writer: writer.put(b'another', b'store'))\n"
        "store.close()\n",
        folder,
    )


def removed(folder: Path) -> None:
    shutil.rmtree(folder)


def moved(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")


def parent_moved(folder: Path) -> None:
    folder.parent.rename(folder.parent.parent / "elsewhere")


def made_again(folder: Path) -> None:
    shutil.rmtree(folder)
    make_store(folder)


def exchanged(folder: Path) -> None:
    moved(folder)
    make_store(folder)


def a_link_to_another(folder: Path) -> None:
    moved(folder)
    make_store(folder.parent / "another")
    folder.symlink_to(folder.parent / "another")


def a_file_in_its_place(folder: Path) -> None:
    moved(folder)
    folder.write_text("")


def a_loop_in_its_place(folder: Path) -> None:
    moved(folder)
    folder.symlink_to(folder)


def data_removed(folder: Path) -> None:
    (folder / "data.mdb").unlink()


def data_moved_over(folder: Path) -> None:
    make_store(folder.parent / "another")
    (folder.parent / "another" / "data.mdb").rename(folder / "data.mdb")


def data_made_again(folder: Path) -> None:
    shutil.copy(folder / "data.mdb", folder / "copy")
    (folder / "copy").rename(folder / "data.mdb")


WAYS = [
    removed,
    moved,
    parent_moved,
    made_again,
    exchanged,
    a_link_to_another,
    a_file_in_its_place,
    a_loop_in_its_place,
    data_removed,
    data_moved_over,
    data_made_again,
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parent").mkdir()
    return tmp_path / "parent" / "store"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sync", ["off", "full"])
def test_nothing_is_acknowledged_into_nowhere(
    open_lmdb: Open, folder: Path, way: Callable[[Path], None], sync: str
) -> None:
    store = open_lmdb(sync=sync)
    store.write(put(b"k"))
    content(store)
    way(folder)
    uses = [
        lambda: store.write(put(b"l")),
        lambda: content(store),
        lambda: store.backup(folder.parent / "backup"),
        store.compact,
        store.check_pages,
        lambda: store.write(put(b"m")),
    ]
    for use in uses:
        with pytest.raises(StoreReplacedError) as caught:
            use()
        assert "close the saver" in str(caught.value)

    def body() -> None:
        with pytest.raises(StoreReplacedError):
            content(store)

    in_fork(body)
    store.close()


@pytest.mark.parametrize("way", [moved, exchanged, parent_moved])
def test_what_was_moved_goes_on_when_it_is_back(
    open_lmdb: Open, folder: Path, way: Callable[[Path], None]
) -> None:
    store = open_lmdb()
    store.write(put(b"k"))
    way(folder)
    with pytest.raises(StoreReplacedError):
        store.write(put(b"l"))
    if way is parent_moved:
        (folder.parent.parent / "elsewhere").rename(folder.parent)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / "elsewhere").rename(folder)
    store.write(put(b"m"))
    assert content(store) == {b"k": b"v", b"m": b"v"}


@pytest.mark.parametrize("way", [moved, exchanged, data_removed, data_moved_over])
def test_a_write_during_which_it_happens_is_not_acknowledged(
    open_lmdb: Open, folder: Path, way: Callable[[Path], None]
) -> None:
    store = open_lmdb()
    store.write(put(b"k"))

    def apply(writer) -> None:
        writer.put(b"l", b"v")
        way(folder)

    with pytest.raises(StoreReplacedError):
        store.write(apply)
    store.close()
    if (folder.parent / "elsewhere").exists():
        assert content(open_lmdb(folder.parent / "elsewhere")) == {b"k": b"v"}


def test_a_link_that_leads_to_where_it_was_moved_is_as_good(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb()
    store.write(put(b"k"))
    moved(folder)
    folder.symlink_to(folder.parent / "elsewhere")
    store.write(put(b"l"))
    assert content(store) == {b"k": b"v", b"l": b"v"}


def test_a_folder_that_may_no_longer_be_looked_into(open_lmdb: Open, folder: Path) -> None:
    open_lmdb().close()

    def body() -> None:
        store = LmdbStore.open(folder, sync="full")
        store.write(put(b"k"))
        as_nobody(folder.parent)
        store.write(put(b"l"))
        assert content(store) == {b"k": b"v", b"l": b"v"}

    in_fork(body)
    assert len(content(open_lmdb())) == 2


CUT = """
import os, sys
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv import LmdbStore
store = LmdbStore.open(sys.argv[1], sync=sys.argv[2])
for number in range(50):
    store.write(lambda writer: writer.put(b"%d" % number, b"v" * 3000))
data = sys.argv[1] + "/data.mdb"
os.truncate(data, os.stat(data).st_size // 2)
backup = lambda: store.backup(sys.argv[1] + "-backup")
for use in (backup, store.check_pages, store.read().__enter__):
    try:
        use()
    except DamagedError as error:
        print(error.record)
"""


@pytest.mark.parametrize("sync", ["off", "normal"])
def test_a_data_file_that_is_cut_short_while_open(folder: Path, sync: str) -> None:
    assert in_new_process(CUT, folder, sync) == "data.mdb\n" * 3


def test_a_data_file_that_another_process_cut_while_it_was_closed(
    open_lmdb: Open, folder: Path
) -> None:
    """A fork closes the store; the child that closes it is then the last one, and cuts it."""
    store = open_lmdb(sync="normal")
    store.write(put(b"k"))
    before = (folder / "data.mdb").stat().st_size

    def body() -> None:
        store.write(put(b"c"))
        store.close()

    in_fork(body)
    assert (folder / "data.mdb").stat().st_size < before
    assert content(store) == {b"k": b"v", b"c": b"v"}
    store.write(put(b"l"))


def test_a_backup_during_which_the_store_is_removed_is_whole(
    open_lmdb: Open, folder: Path, tmp_path: Path
) -> None:
    store = open_lmdb()
    store.write(put(b"k", b"v" * 3_000_000))

    def remove(done: int, total: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    store.backup(tmp_path / "backup", remove)
    assert content(open_lmdb(tmp_path / "backup")) == {b"k": b"v" * 3_000_000}


def test_errors_of_both_kinds_can_be_told_apart() -> None:
    assert issubclass(StoreReplacedError, LmdbSaverError)
    assert not issubclass(StoreReplacedError, DamagedError)
