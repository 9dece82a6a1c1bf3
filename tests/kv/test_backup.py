"""Backups of a store in use: each is complete or absent, private, and flushed."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from langgraph.checkpoint.lmdb.errors import (
    InvalidPathError,
    LmdbSaverError,
    StoreClosedError,
    StoreFullError,
    StoreIOError,
    UsageError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore
from langgraph.checkpoint.lmdb.kv.lmdb import backup
from langgraph.checkpoint.lmdb.kv.lmdb.meta_pages import read_meta_pages
from tests.kv.processes import fork, in_fork, in_thread
from tests.kv.test_lmdb_sharing import content, put

Open = "Callable[..., LmdbStore]"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "copies" / "copy"


def filled(store: LmdbStore, count: int = 1000) -> dict[bytes, bytes]:
    """Return a store of some megabytes, two thirds of which were deleted."""
    store.write(lambda w: [w.put(b"%06d" % n, os.urandom(3000)) for n in range(count)])
    store.write(lambda w: [w.delete(b"%06d" % n) for n in range(count) if n % 3])
    return content(store)


def leftovers(target: Path) -> list[str]:
    """Return the other files in the folder of a backup."""
    if not target.parent.exists():
        return []
    return [one.name for one in target.parent.iterdir() if one != target]


def test_backup_has_the_records_without_the_free_pages(open_lmdb: Open, target: Path) -> None:
    store = open_lmdb()
    stored = filled(store)
    steps: list[tuple[int, int]] = []
    store.backup(target, lambda done, total: steps.append((done, total)))
    copy = open_lmdb(target)
    assert content(copy) == stored == content(store)
    length = (target / "data.mdb").stat().st_size
    assert length < (Path(store._folder) / "data.mdb").stat().st_size / 2
    assert len(steps) > 1
    assert steps == sorted(set(steps))
    assert {total for _, total in steps} == {steps[-1][0]} == {length}
    copy.write(put(b"copy"))
    store.write(put(b"store"))
    assert content(copy).keys() - stored.keys() == {b"copy"}
    assert content(store).keys() - stored.keys() == {b"store"}


def test_only_the_owner_can_read_a_backup(open_lmdb: Open, target: Path) -> None:
    before = os.umask(0)
    modes = []

    def look(done: int, total: int) -> None:
        paths = [*target.parent.glob(".copy.*"), *target.parent.glob(".copy.*/*")]
        modes.extend(one.stat().st_mode & 0o777 for one in paths)

    try:
        open_lmdb().backup(target, look)
    finally:
        os.umask(before)
    assert modes == [0o700, 0o600]
    assert target.stat().st_mode & 0o777 == 0o700
    assert {one.name: one.stat().st_mode & 0o777 for one in target.iterdir()} == {"data.mdb": 0o600}
    assert leftovers(target) == []


def test_backup_is_one_snapshot_while_writers_continue(open_lmdb: Open, target: Path) -> None:
    store = open_lmdb(map_size=1 << 20)
    stored = filled(store)

    def write(done: int, total: int) -> None:
        in_thread(lambda: store.write(put(b"during %d" % done, b"v" * 3_000_000)))

    store.backup(target, write)
    assert content(open_lmdb(target)) == stored
    assert len(content(store)) > len(stored)


@pytest.mark.parametrize("kind", ["file", "folder", "empty", "link", "itself", "inside"])
def test_backup_overwrites_no_file(open_lmdb: Open, target: Path, folder: Path, kind: str) -> None:
    store = open_lmdb()
    stored = filled(store, 30)
    target.parent.mkdir()
    if kind == "file":
        target.write_text("mine")
    elif kind == "link":
        target.symlink_to("nowhere")
    elif kind in ("folder", "empty"):
        target.mkdir()
    if kind == "folder":
        (target / "mine").write_text("mine")
    at = {"itself": folder, "inside": folder / "copy"}.get(kind, target)
    with pytest.raises(InvalidPathError):
        store.backup(at)
    if kind in ("file", "folder"):
        assert (target / ("mine" if kind == "folder" else "")).read_text() == "mine"
    assert leftovers(target) == []
    assert sorted(one.name for one in folder.iterdir()) == ["data.mdb", "lock.mdb"]
    assert content(store) == stored


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_files_that_appear_during_a_backup_are_kept(
    open_lmdb: Open, target: Path, kind: str
) -> None:
    store = open_lmdb()
    filled(store, 30)

    def appear(done: int, total: int) -> None:
        mine = target / "mine" if kind == "folder" else target
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("mine")

    with pytest.raises(InvalidPathError):
        store.backup(target, appear)
    assert (target / "mine" if kind == "folder" else target).read_text() == "mine"
    assert leftovers(target) == []


@pytest.mark.parametrize("path", ["", "\0", 5, b"x"])
def test_invalid_path_is_refused(open_lmdb: Open, path: Any) -> None:
    with pytest.raises(InvalidPathError):
        open_lmdb().backup(path)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_backup_leaves_no_files(open_lmdb: Open, target: Path, error: Any) -> None:
    store = open_lmdb()
    stored = filled(store)

    def stop(done: int, total: int) -> None:
        assert done < total
        raise error

    with pytest.raises(error):
        store.backup(target, stop)
    assert [*target.parent.iterdir()] == []
    store.write(put(b"k"))
    store.backup(target)
    assert len(content(open_lmdb(target))) == len(stored) + 1


def test_killed_backup_cannot_be_opened(open_lmdb: Open, target: Path) -> None:
    store = open_lmdb()
    filled(store)
    pid = fork()
    if pid == 0:
        store.backup(target, lambda done, total: os.kill(os.getpid(), signal.SIGKILL))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert not target.exists()
    (part,) = target.parent.iterdir()
    with pytest.raises(InvalidPathError, match="no store here"):
        LmdbStore.open(part, readonly=True)
    store.backup(target)
    assert content(open_lmdb(target)) == content(store)


def test_full_disk_is_an_error_and_leaves_no_files(open_lmdb: Open, target: Path) -> None:
    store = open_lmdb()
    filled(store)

    def body() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, -1))
        with pytest.raises(StoreFullError, match="making a backup"):
            store.backup(target)
        assert [*target.parent.iterdir()] == []

    in_fork(body)


@pytest.mark.parametrize("free", range(8))
def test_lack_of_descriptors_is_an_error_and_leaves_no_files(
    open_lmdb: Open, target: Path, free: int
) -> None:
    store = open_lmdb()
    stored = filled(store, 30)
    target.parent.mkdir()

    def body() -> None:
        assert content(store) == stored  # the child has opened it
        spare = os.open(os.devnull, os.O_RDONLY)
        os.close(spare)  # the lowest free one
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare + free, limit[1]))
        message = ""
        try:
            store.backup(target)
        except StoreIOError as error:
            message = str(error)
        assert target.exists() != ("too many files are open" in message)
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        assert [one for one in target.parent.iterdir() if one != target] == []
        store.write(put(b"k"))
        store.close()

    in_fork(body)


def test_backup_is_flushed_before_it_gets_its_name(
    open_lmdb: Open, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_lmdb()
    filled(store, 30)
    target.parent.mkdir()
    steps: list[str] = []
    flush, rename = os.fsync, Path.rename

    def flushed(handle: int) -> None:
        steps.append(f"flush {Path(f'/proc/self/fd/{handle}').readlink().name[:5]}")
        flush(handle)

    def renamed(path: Path, to: Path) -> None:
        steps.append(f"rename {to.name}")
        rename(path, to)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "rename", renamed)
    store.backup(target)
    expected = ["unfin", ".copy", "copie"]
    assert [step for step in steps if step.startswith("flush")] == [f"flush {e}" for e in expected]
    assert steps.index("flush unfin") < steps.index("rename data.mdb")
    assert steps.index("flush .copy") < steps.index("rename copy") < steps.index("flush copie")


def test_backup_that_is_too_short_is_refused(
    open_lmdb: Open, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_lmdb()
    filled(store)
    used_length = backup.used_length
    monkeypatch.setattr(backup, "used_length", lambda begun: used_length(begun) + 4096)
    with pytest.raises(Exception, match="instead of"):
        store.backup(target)
    assert [*target.parent.iterdir()] == []


def test_backup_of_an_empty_store(open_lmdb: Open, target: Path) -> None:
    open_lmdb().backup(target)
    assert content(open_lmdb(target)) == {}


def test_backup_of_a_store_opened_with_readonly(
    open_lmdb: Open, target: Path, folder: Path
) -> None:
    store = open_lmdb()
    stored = filled(store, 30)
    store.close()
    open_lmdb(folder, readonly=True).backup(target)
    assert content(open_lmdb(target)) == stored


def test_backup_is_refused_in_a_transaction_and_on_a_closed_store(
    open_lmdb: Open, target: Path
) -> None:
    store = open_lmdb()
    with store.read(), pytest.raises(UsageError, match="already has a transaction"):
        store.backup(target)
    store.close()
    with pytest.raises(StoreClosedError):
        store.backup(target)
    assert not target.parent.exists()


def test_store_with_damaged_pages_cannot_be_backed_up(
    open_lmdb: Open, target: Path, folder: Path
) -> None:
    """LMDB counts the pages that it copies, and refuses a store with lost pages."""
    store = open_lmdb()
    filled(store)
    store.close()
    with (folder / "data.mdb").open("r+b") as file:
        root = read_meta_pages(file)[0]
        file.seek(root.free * root.page_size)
        file.write(bytes(root.page_size))
    store = open_lmdb()
    with pytest.raises(LmdbSaverError):
        store.backup(target)
    assert [*target.parent.iterdir()] == []
