"""The folder and files of an LMDB store: permissions, and files that cannot be opened."""

from __future__ import annotations

import os
import random
import shutil
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    FormatVersionError,
    InvalidPathError,
    LmdbSaverError,
    ReadOnlyError,
    UsageError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore
from tests.kv.processes import drop_privileges, in_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Open = "Callable[..., LmdbStore]"
PAGE = 4096


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_only_the_owner_can_read_folder_and_files_with_any_umask(
    open_lmdb: Open, folder: Path
) -> None:
    path = folder / "deep" / "store"
    store = open_lmdb(path)
    store.write(lambda writer: writer.put(b"k", b"v"))
    assert [mode(each) for each in (folder, path.parent, path)] == [0o700] * 3
    assert sorted(file.name for file in path.iterdir()) == ["data.mdb", "lock.mdb"]
    assert [mode(file) for file in path.iterdir()] == [0o600] * 2


def test_existing_folder_keeps_its_mode(open_lmdb: Open, folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o750)
    open_lmdb()
    assert mode(folder) == 0o750


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder.write_text("a file"),
        lambda folder: (folder.parent / "store").symlink_to(folder.parent / "store"),
        lambda folder: (folder / "data.mdb").mkdir(parents=True),
    ],
    ids=["file", "loop", "data is a folder"],
)
def test_path_that_cannot_hold_a_store_is_refused(
    open_lmdb: Open, folder: Path, make: Callable[[Path], object]
) -> None:
    make(folder)
    with pytest.raises(InvalidPathError) as caught:
        open_lmdb()
    assert caught.value.path is not None
    assert caught.value.path in str(caught.value)
    assert caught.value.advice or "loop" in str(caught.value)


@pytest.mark.parametrize("path", ["", "a\0b", b"bytes", "x" * 300])
def test_invalid_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidPathError):
        LmdbStore.open(path)


def test_path_below_a_file_is_refused(open_lmdb: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidPathError, match="Not a directory"):
        open_lmdb(tmp_path / "file" / "store")


def test_folder_that_this_user_may_not_write_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o555)

    def body() -> None:
        drop_privileges(folder.parent)
        with pytest.raises(InvalidPathError, match="ermission"):
            LmdbStore.open(folder)
        with pytest.raises(InvalidPathError, match="ermission"):
            LmdbStore.open(folder / "below")

    in_fork(body)


def test_store_that_this_user_may_not_write_can_be_read(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb()
    store.write(lambda writer: writer.put(b"k", b"v"))
    store.close()
    folder.chmod(0o555)
    (folder / "data.mdb").chmod(0o444)

    def body() -> None:
        drop_privileges(folder.parent)
        with pytest.raises(InvalidPathError, match="ermission"):
            LmdbStore.open(folder)
        # Only the owner can open the lock file, so the store is read without it.
        store = LmdbStore.open(folder, readonly=True)
        with store.read() as reader:
            assert reader.get(b"k") == b"v"
        store.close()
        (folder / "data.mdb").stat()

    in_fork(body)
    (folder / "data.mdb").chmod(0o000)

    def unreadable() -> None:
        drop_privileges(folder.parent)
        with pytest.raises(InvalidPathError, match="may not be read"):
            LmdbStore.open(folder, readonly=True)

    in_fork(unreadable)


@pytest.mark.parametrize("mode", [0o000, 0o200, 0o400, 0o500])
@pytest.mark.parametrize("sync", ["full", "off"])
def test_permissions_of_the_folder_may_change_while_the_store_is_open(
    folder: Path, mode: int, sync: str
) -> None:
    folder.mkdir()
    folder.chmod(0o777)

    def body() -> None:
        drop_privileges(folder.parent)
        place = folder / "store"
        store = LmdbStore.open(place, sync=sync)
        store.write(lambda writer: writer.put(b"k", b"v"))
        place.chmod(mode)
        uses = (
            lambda: store.backup(folder / "copy"),
            store.compact,
            store.size,
            store.check_pages,
            lambda: store.write(lambda writer: writer.put(b"l", b"v" * 100_000)),
        )
        for use in uses:
            with suppress(LmdbSaverError):
                use()
        store.close()
        with suppress(LmdbSaverError):
            LmdbStore.open(place, sync=sync).close()
        place.chmod(0o700)
        store = LmdbStore.open(place, sync=sync)
        with store.read() as reader:
            assert reader.get(b"k") == b"v"
        store.close()
        assert {one.name for one in folder.iterdir()} <= {"store", "copy"}

    in_fork(body)


def test_readonly_creates_no_files(open_lmdb: Open, folder: Path) -> None:
    with pytest.raises(InvalidPathError, match="no store here"):
        open_lmdb(readonly=True)
    assert not folder.exists()
    open_lmdb().close()
    (folder / "lock.mdb").unlink()
    before = (folder / "data.mdb").stat().st_mtime_ns
    store = open_lmdb(readonly=True)
    with store.read() as reader:
        assert list(reader.keys(b"", b"z")) == []
    assert [file.name for file in folder.iterdir()] == ["data.mdb"]
    assert (folder / "data.mdb").stat().st_mtime_ns == before


def test_store_opened_for_reading_is_not_written(open_lmdb: Open) -> None:
    open_lmdb().close()
    store = open_lmdb(readonly=True)
    with pytest.raises(ReadOnlyError):
        store.write(lambda writer: writer.put(b"k", b"v"))
    with store.read() as reader:
        assert reader.get(b"k") is None


@pytest.mark.parametrize(
    "content", [b"", b"not a store", random.Random(1).randbytes(3 * PAGE)], ids=["0", "11", "12288"]
)
def test_file_that_lmdb_did_not_write_is_refused(
    open_lmdb: Open, folder: Path, content: bytes
) -> None:
    folder.mkdir()
    (folder / "data.mdb").write_bytes(content)
    for readonly in (True, False):
        with pytest.raises(DamagedError) as caught:
            open_lmdb(readonly=readonly)
        assert caught.value.path == str(folder)
        assert caught.value.record == "data.mdb"
    assert (folder / "data.mdb").read_bytes() == content


def test_file_of_another_version_of_lmdb_is_refused(open_lmdb: Open, folder: Path) -> None:
    open_lmdb().close()
    data = bytearray((folder / "data.mdb").read_bytes())
    for root in (0, PAGE):
        struct.pack_into("=I", data, root + 20, 999)
    (folder / "data.mdb").write_bytes(data)
    with pytest.raises(FormatVersionError):
        open_lmdb()


@pytest.fixture
def full(open_lmdb: Open, folder: Path) -> Path:
    """A closed store of several hundred pages: branches, leaves and overflow pages."""
    store = open_lmdb()
    for turn in range(3):

        def apply(writer, turn=turn) -> None:
            for number in range(400):
                writer.put(b"%06d" % number, b"v" * (5000 if number % 10 == turn else 300))

        store.write(apply)
    store.close()
    return folder


def test_truncated_file_is_refused(open_lmdb: Open, full: Path) -> None:
    whole = (full / "data.mdb").stat().st_size
    refused = 0
    for pages in range(whole // PAGE - 1, 2, -7):
        os.truncate(full / "data.mdb", pages * PAGE)
        try:
            store = open_lmdb()
        except DamagedError:
            refused += 1
        else:
            with store.read() as reader:  # only unused pages are missing
                assert len(list(reader.range(b"", b"z"))) == 400
            store.close()
    assert refused > 10
    with pytest.raises(DamagedError, match="cut short"):
        open_lmdb()


def test_file_may_end_before_free_pages(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb()
    store.write(lambda writer: [writer.put(b"long %d" % n, b"v" * 5000) for n in range(100)])
    store.write(lambda writer: writer.delete_range(b"long", b"longer"))
    for turn in range(4):  # on free pages nearer to the start
        store.write(lambda writer, turn=turn: writer.put(b"k", b"%d" % turn))
    store.close()
    os.truncate(folder / "data.mdb", (folder / "data.mdb").stat().st_size - 5 * PAGE)
    store = open_lmdb()
    with store.read() as reader:
        assert list(reader.range(b"", b"z")) == [(b"k", b"3")]
    store.write(lambda writer: [writer.put(b"long %d" % n, b"v" * 5000) for n in range(100)])
    with store.read() as reader:
        assert len(list(reader.range(b"", b"z"))) == 101


def test_size_is_the_space_that_the_file_system_allocated(full: Path, open_lmdb: Open) -> None:
    blocks = sum(file.stat().st_blocks for file in full.iterdir())
    store = open_lmdb()
    assert store.size() == blocks * 512
    assert store.size() >= 400 * 300


@pytest.mark.parametrize("options", [{"sync": "never"}, {"map_size": 0}, {"map_size": -1}])
def test_invalid_options_are_refused(open_lmdb: Open, folder: Path, options: dict) -> None:
    with pytest.raises(UsageError):
        open_lmdb(**options)
    assert not folder.exists()


def test_creation_continues_from_the_files_that_a_crash_left(open_lmdb: Open, folder: Path) -> None:
    (folder / ".new").mkdir(parents=True)
    (folder / ".new" / "data.mdb").write_bytes(b"half")
    open_lmdb()
    assert sorted(file.name for file in folder.iterdir()) == ["data.mdb", "lock.mdb"]


def test_copy_of_the_data_file_can_be_opened(open_lmdb: Open, full: Path) -> None:
    copy = full.parent / "copy"
    copy.mkdir()
    shutil.copy(full / "data.mdb", copy)
    with open_lmdb(copy).read() as reader:
        assert len(list(reader.keys(b"", b"z"))) == 400
