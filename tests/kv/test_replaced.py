"""Files of an open store that are deleted, move or replaced: no acknowledged write is lost."""

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
from tests.kv.test_lmdb_files import drop_privileges
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Open = "Callable[..., LmdbStore]"


def make_store(folder: Path) -> None:
    """Create a store in another process."""
    in_new_process(
        "import sys\n"
        "from langgraph.checkpoint.lmdb.kv import LmdbStore\n"
        "store = LmdbStore.open(sys.argv[1], sync='off')\n"
        "store.write(lambda writer: writer.put(b'another', b'store'))\n"
        "store.close()\n",
        folder,
    )


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def move(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")


def move_parent(folder: Path) -> None:
    folder.parent.rename(folder.parent.parent / "elsewhere")


def create_again(folder: Path) -> None:
    shutil.rmtree(folder)
    make_store(folder)


def exchange(folder: Path) -> None:
    move(folder)
    make_store(folder)


def link_to_another(folder: Path) -> None:
    move(folder)
    make_store(folder.parent / "another")
    folder.symlink_to(folder.parent / "another")


def replace_by_file(folder: Path) -> None:
    move(folder)
    folder.write_text("")


def replace_by_loop(folder: Path) -> None:
    move(folder)
    folder.symlink_to(folder)


def remove_data(folder: Path) -> None:
    (folder / "data.mdb").unlink()


def replace_data(folder: Path) -> None:
    make_store(folder.parent / "another")
    (folder.parent / "another" / "data.mdb").rename(folder / "data.mdb")


def copy_data(folder: Path) -> None:
    shutil.copy(folder / "data.mdb", folder / "copy")
    (folder / "copy").rename(folder / "data.mdb")


CHANGES = [
    remove,
    move,
    move_parent,
    create_again,
    exchange,
    link_to_another,
    replace_by_file,
    replace_by_loop,
    remove_data,
    replace_data,
    copy_data,
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parent").mkdir()
    return tmp_path / "parent" / "store"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("sync", ["off", "full"])
def test_every_call_raises_store_replaced_error(
    open_lmdb: Open, folder: Path, change: Callable[[Path], None], sync: str
) -> None:
    store = open_lmdb(sync=sync)
    store.write(put(b"k"))
    content(store)
    change(folder)
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


@pytest.mark.parametrize("change", [move, exchange, move_parent])
def test_calls_succeed_when_the_files_are_moved_back(
    open_lmdb: Open, folder: Path, change: Callable[[Path], None]
) -> None:
    store = open_lmdb()
    store.write(put(b"k"))
    change(folder)
    with pytest.raises(StoreReplacedError):
        store.write(put(b"l"))
    if change is move_parent:
        (folder.parent.parent / "elsewhere").rename(folder.parent)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / "elsewhere").rename(folder)
    store.write(put(b"m"))
    assert content(store) == {b"k": b"v", b"m": b"v"}


@pytest.mark.parametrize("change", [move, exchange, remove_data, replace_data])
def test_write_fails_if_files_are_replaced_during_it(
    open_lmdb: Open, folder: Path, change: Callable[[Path], None]
) -> None:
    store = open_lmdb()
    store.write(put(b"k"))

    def apply(writer) -> None:
        writer.put(b"l", b"v")
        change(folder)

    with pytest.raises(StoreReplacedError):
        store.write(apply)
    store.close()
    if (folder.parent / "elsewhere").exists():
        assert content(open_lmdb(folder.parent / "elsewhere")) == {b"k": b"v"}


def test_store_works_through_a_link_to_its_new_path(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb()
    store.write(put(b"k"))
    move(folder)
    folder.symlink_to(folder.parent / "elsewhere")
    store.write(put(b"l"))
    assert content(store) == {b"k": b"v", b"l": b"v"}


def test_store_works_when_its_folder_can_no_longer_be_read(open_lmdb: Open, folder: Path) -> None:
    open_lmdb().close()

    def body() -> None:
        store = LmdbStore.open(folder, sync="full")
        store.write(put(b"k"))
        drop_privileges(folder.parent)
        store.write(put(b"l"))
        assert content(store) == {b"k": b"v", b"l": b"v"}

    in_fork(body)
    assert len(content(open_lmdb())) == 2


TRUNCATE = """
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
def test_data_file_truncated_while_open_is_damaged(folder: Path, sync: str) -> None:
    assert in_new_process(TRUNCATE, folder, sync) == "data.mdb\n" * 3


def test_data_file_truncated_by_the_last_close_can_be_used(open_lmdb: Open, folder: Path) -> None:
    """A fork closes the store. The child closes it last, and truncates the file."""
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


def test_backup_is_complete_if_the_store_is_deleted_during_it(
    open_lmdb: Open, folder: Path, tmp_path: Path
) -> None:
    store = open_lmdb()
    store.write(put(b"k", b"v" * 3_000_000))

    def remove(done: int, total: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    store.backup(tmp_path / "backup", remove)
    assert content(open_lmdb(tmp_path / "backup")) == {b"k": b"v" * 3_000_000}


def test_store_replaced_error_is_not_a_damaged_error() -> None:
    assert issubclass(StoreReplacedError, LmdbSaverError)
    assert not issubclass(StoreReplacedError, DamagedError)
