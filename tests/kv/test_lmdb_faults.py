"""Full disks and failed writes: calls raise errors, and succeed again afterwards."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb
import pytest

from langgraph.checkpoint.lmdb.errors import (
    InvalidPathError,
    LmdbSaverError,
    StoreFullError,
    StoreIOError,
    StoreReplacedError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore
from tests.kv.processes import in_fork
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Open = "Callable[..., LmdbStore]"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 pages."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a small disk is not permitted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def write_until_it_fails(store: LmdbStore) -> LmdbSaverError:
    def fill() -> None:
        for number in range(1000):
            store.write(put(b"%03d" % number, b"v" * 8000))

    with pytest.raises(LmdbSaverError) as caught:
        fill()
    return caught.value


def test_store_works_again_after_a_full_disk(small_disk: Path, open_lmdb: Open) -> None:
    ballast = small_disk / "ballast"
    store = open_lmdb(small_disk / "store", sync="full")
    ballast.write_bytes(bytes(64 << 10))
    error = write_until_it_fails(store)
    assert isinstance(error, StoreFullError)
    assert error.message == "the disk is full while writing"
    assert error.path == str(small_disk / "store")
    stored = content(store)
    assert len(stored) > 5
    with pytest.raises(StoreFullError):
        store.write(put(b"new", b"v" * 80_000))
    assert content(store) == stored
    ballast.unlink()
    store.write(put(b"new", b"v" * 8000))
    assert len(content(store)) == len(stored) + 1
    store.close()
    assert len(content(open_lmdb(small_disk / "store"))) == len(stored) + 1


def test_deletes_free_space_on_a_full_disk(small_disk: Path, open_lmdb: Open) -> None:
    store = open_lmdb(small_disk / "store")
    assert isinstance(write_until_it_fails(store), StoreFullError)
    stored = len(content(store))
    assert store.write(lambda writer: writer.delete_range(b"000", b"010")) == 10
    store.write(put(b"small"))  # LMDB reuses freed pages from the second commit on
    store.write(put(b"new", b"v" * 8000))
    assert len(content(store)) == stored - 8


@pytest.mark.parametrize("room", range(0, 60 << 10, 4 << 10))
def test_store_is_created_completely_or_not_at_all(
    small_disk: Path, open_lmdb: Open, room: int
) -> None:
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes((256 << 10) - room))
    try:
        store = open_lmdb(small_disk / "store")
        store.write(put(b"k", b"v" * 8000))
    except StoreFullError:
        ballast.unlink()
        store = open_lmdb(small_disk / "store")
        assert content(store) == {}
        store.write(put(b"k", b"v" * 8000))
    assert content(store) == {b"k": b"v" * 8000}


def test_store_on_a_readonly_file_system_can_be_read(small_disk: Path, open_lmdb: Open) -> None:
    store = open_lmdb(small_disk / "store")
    store.write(put(b"k"))
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(InvalidPathError, match="Read-only"):
        open_lmdb(small_disk / "store")
    with pytest.raises(InvalidPathError, match="Read-only"):
        open_lmdb(small_disk / "another")
    assert content(open_lmdb(small_disk / "store", readonly=True)) == {b"k": b"v"}


def test_limit_on_the_length_of_files_is_reported(open_lmdb: Open, folder: Path) -> None:
    open_lmdb().close()

    def body() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        store = LmdbStore.open(folder, sync="off")
        error = write_until_it_fails(store)
        assert isinstance(error, StoreFullError)
        assert error.message == "the limit on the length of files is reached while writing"
        stored = len(content(store))
        assert stored > 5
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        store.write(put(b"new"))
        assert len(content(store)) == stored + 1

    in_fork(body)


class Descriptors:
    """LMDB's descriptors of a store's data file: one for pages, one for meta pages."""

    def __init__(self, store: LmdbStore, folder: Path) -> None:
        self.pages = self.meta_pages = -1
        ours = store._env._preallocator._file
        for link in Path("/proc/self/fd").iterdir():
            if link.exists() and link.resolve() == folder / "data.mdb":
                info = Path(f"/proc/self/fdinfo/{link.name}").read_text()
                flags = int(info.split("flags:")[1].split()[0], 8)
                if flags & os.O_DSYNC:
                    self.meta_pages = int(link.name)
                elif int(link.name) != ours:
                    self.pages = int(link.name)
        assert min(self.pages, self.meta_pages) >= 0

    def swap(self, number: int, instead: str, flags: int) -> Callable[[], None]:
        """Make `number` a descriptor of another file; return a function that restores it."""
        kept = os.dup(number)
        other = os.open(instead, flags)
        os.dup2(other, number)
        os.close(other)

        def restore() -> None:
            os.dup2(kept, number)
            os.close(kept)

        return restore


@pytest.mark.parametrize(
    ("instead", "flags", "error"),
    [("/dev/full", os.O_WRONLY, StoreFullError), ("/dev/null", os.O_RDONLY, StoreIOError)],
)
def test_store_works_after_a_failed_write_of_pages(
    open_lmdb: Open, folder: Path, instead: str, flags: int, error: type[LmdbSaverError]
) -> None:
    store = open_lmdb(sync="full")
    store.write(put(b"k"))
    handles = Descriptors(store, folder)
    restore = handles.swap(handles.pages, instead, flags)
    for _ in range(2):
        with pytest.raises(error) as caught:
            store.write(put(b"l"))
        assert caught.value.path == str(folder)
        assert content(store) == {b"k": b"v"}
    restore()
    store.write(put(b"l"))
    assert content(store) == {b"k": b"v", b"l": b"v"}


def test_reader_reopens_the_environment_after_a_failed_write_of_a_meta_page(
    open_lmdb: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = open_lmdb(sync="full"), open_lmdb(sync="full")
    store.write(put(b"k"))
    before = store._env._lmdb
    handles = Descriptors(store, folder)
    handles.swap(handles.meta_pages, "/dev/null", os.O_RDONLY)  # LMDB closes it on reopening
    with pytest.raises(StoreIOError):
        store.write(put(b"l"))
    with pytest.raises(lmdb.PanicError):
        before.begin()
    assert content(other) == {b"k": b"v"}
    assert store._env._lmdb is not before
    store.write(put(b"m"))
    assert content(other) == {b"k": b"v", b"m": b"v"}


def test_writer_reopens_the_environment_after_a_failed_write_of_a_meta_page(
    open_lmdb: Open, folder: Path
) -> None:
    store = open_lmdb(sync="full")
    store.write(put(b"k"))
    handles = Descriptors(store, folder)
    handles.swap(handles.meta_pages, "/dev/null", os.O_RDONLY)
    with pytest.raises(StoreIOError):
        store.write(put(b"l"))
    store.write(put(b"m"))
    assert content(store) == {b"k": b"v", b"m": b"v"}


def test_store_that_was_moved_cannot_be_reopened(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb(sync="full")
    store.write(put(b"k"))
    folder.rename(folder.parent / "elsewhere")
    with pytest.raises(StoreReplacedError):
        content(store)
    in_fork(lambda: None)  # a fork closes it
    for _ in range(2):
        with pytest.raises(StoreReplacedError, match="moved or replaced"):
            content(store)
        open_lmdb(sync="full")
