"""Lock files that are deleted or replaced while a store is open, and data files that are links."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb.errors import (
    StoreBusyError,
    StoreReplacedError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore
from tests.kv.test_lmdb_sharing import content, put
from tests.kv.test_replaced import data_moved_over
from tests.kv.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Open = "Callable[..., LmdbStore]"


@pytest.fixture
def other(folder: Path) -> Iterator[Worker]:
    """Another process that has the store open, and a value in it."""
    with Worker(folder) as worker:
        assert worker.do("open") == "done"
        assert worker.do("put", "k", "v") == "done"
        yield worker


def lock_removed(folder: Path) -> None:
    (folder / "lock.mdb").unlink()


def lock_moved_over(folder: Path) -> None:
    shutil.copy(folder / "lock.mdb", folder / "copy")
    (folder / "copy").rename(folder / "lock.mdb")


def lock_made_again(folder: Path) -> None:
    lock_removed(folder)
    (folder / "lock.mdb").write_bytes(bytes(32768))


LOCK_WAYS = [lock_removed, lock_moved_over, lock_made_again]


@pytest.mark.parametrize("way", LOCK_WAYS)
def test_no_process_joins_with_another_lock_file(
    open_lmdb: Open, folder: Path, other: Worker, way: Callable[[Path], None]
) -> None:
    way(folder)
    with pytest.raises(StoreBusyError, match="another lock file") as caught:
        open_lmdb()
    assert caught.value.processes == [other.pid]
    assert other.do("close") == "done"
    assert content(open_lmdb()) == {b"k": b"v"}


@pytest.mark.parametrize("way", LOCK_WAYS)
def test_a_writer_whose_lock_file_was_deleted_takes_the_new_one(
    open_lmdb: Open, folder: Path, other: Worker, way: Callable[[Path], None]
) -> None:
    way(folder)
    assert other.do("put", "l", "v") == "done"
    store = open_lmdb()
    for number in range(100):
        assert other.do("put", f"other{number}", "v") == "done"
        store.write(put(b"mine%d" % number))
    assert len(content(store)) == 202
    assert other.do("get", "mine99") == "v"


def test_writers_that_share_a_deleted_lock_file_go_on_with_it(
    open_lmdb: Open, folder: Path, other: Worker
) -> None:
    store = open_lmdb()
    lock_removed(folder)
    for number in range(50):
        assert other.do("put", f"other{number}", "v") == "done"
        store.write(put(b"mine%d" % number))
    assert len(content(store)) == 101
    with Worker(folder) as third:
        assert third.do("open").startswith("StoreBusyError")
        assert other.do("close") == "done"
        store.write(put(b"heals"))
        assert third.do("open") == "done"
        assert third.do("get", "mine49") == "v"
        assert third.do("put", "third", "v") == "done"
        store.write(put(b"last"))
    assert len(content(store)) == 104


def test_a_snapshot_with_a_deleted_lock_file_keeps_its_pages(
    open_lmdb: Open, folder: Path, other: Worker
) -> None:
    """The writer may not take a new lock file: it would not see the reader."""
    store = open_lmdb()
    assert other.do("hold", "read") == "held"
    lock_removed(folder)
    for number in range(200):
        store.write(put(b"k", b"%d" % number * 1000))
    assert str(other.pid) in store._env._lmdb.readers()
    assert other.do("") == "done"


def test_reading_without_a_lock_file_what_others_write_is_refused(
    folder: Path, other: Worker
) -> None:
    lock_removed(folder)
    with Worker(folder) as reader:
        assert reader.do("open", "readonly").startswith("StoreBusyError")
        assert other.do("close") == "done"
        assert reader.do("open", "readonly") == "done"
        assert reader.do("get", "k") == "v"


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_folder_whose_data_file_is_a_link(
    open_lmdb: Open, folder: Path, other: Worker, link: Callable[[Path, Path], None]
) -> None:
    twin = folder.parent / "twin"
    twin.mkdir()
    link(folder / "data.mdb", twin / "data.mdb")
    with pytest.raises(StoreBusyError, match="is a link"):
        open_lmdb(twin)
    assert other.do("put", "l", "v") == "done"
    assert other.do("close") == "done"
    store = open_lmdb(twin)
    store.write(put(b"m"))
    assert other.do("open").startswith("StoreBusyError")
    store.close()
    assert other.do("open") == "done"
    assert [other.do("get", key) for key in "klm"] == ["v"] * 3


def test_another_data_file_does_not_join_a_lock_file_in_use(
    open_lmdb: Open, folder: Path, other: Worker
) -> None:
    for number in range(20):
        other.do("put", number, "v")
    data_moved_over(folder)
    with pytest.raises(StoreReplacedError, match="in use with another data file"):
        open_lmdb()
    assert other.do("put", "l", "v").startswith("StoreReplacedError")
    assert other.do("get", "k").startswith("StoreReplacedError")
    assert other.do("close") == "done"
    assert content(open_lmdb()) == {b"another": b"store"}


def test_closing_does_not_cut_the_file_of_others_with_a_deleted_lock_file(
    open_lmdb: Open, folder: Path, other: Worker
) -> None:
    store = open_lmdb(sync="normal")
    store.write(put(b"m"))
    lock_removed(folder)
    (folder / "lock.mdb").write_bytes(bytes(32768))
    length = (folder / "data.mdb").stat().st_size
    store.close()
    assert (folder / "data.mdb").stat().st_size == length
    assert other.do("put", "n", "v") == "done"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 2)),
        st.tuples(st.just("reopen"), st.integers(0, 2)),
        st.tuples(st.just("lock"), st.sampled_from(LOCK_WAYS)),
    ),
    min_size=5,
    max_size=30,
)


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    """Three processes without a store."""
    with ExitStack() as stack:
        nowhere = tmp_path_factory.mktemp("nowhere")
        yield [stack.enter_context(Worker(nowhere)) for _ in range(3)]


@given(steps=STEPS)
def test_whatever_becomes_of_the_lock_file_no_acknowledged_write_is_lost(
    tmp_path_factory: pytest.TempPathFactory, crew: list[Worker], steps: list[tuple[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("steps") / "store"
    LmdbStore.open(folder, sync="off").close()
    acknowledged: list[str] = []
    assert [worker.do("at", folder) for worker in crew] == ["done"] * 3
    is_open = [worker.do("open") == "done" for worker in crew]
    try:
        for number, (kind, which) in enumerate(steps):
            if callable(which):
                if (folder / "lock.mdb").exists():
                    which(folder)
                continue
            assert isinstance(which, int)
            if kind == "reopen":
                if is_open[which]:
                    assert crew[which].do("close") == "done"
                is_open[which] = crew[which].do("open") == "done"
            elif is_open[which]:
                assert crew[which].do("put", number, "v") == "done"
                acknowledged.append(str(number))
            for worker, ready in zip(crew, is_open, strict=True):
                if ready and acknowledged:
                    assert worker.do("get", acknowledged[-1]) == "v"
    finally:
        read = [
            worker.do("get", key)
            for worker, ready in zip(crew, is_open, strict=True)
            for key in acknowledged
            if ready
        ]
        for worker, ready in zip(crew, is_open, strict=True):
            if ready:
                assert worker.do("close") == "done"
    assert set(read) <= {"v"}
    with closing(LmdbStore.open(folder, sync="off")) as store:
        assert sorted(content(store)) == sorted(key.encode() for key in acknowledged)
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize("sync", ["off", "normal"])
def test_a_reader_that_is_killed_does_not_make_the_file_grow(
    open_lmdb: Open, folder: Path, sync: str
) -> None:
    store = open_lmdb(sync=sync)
    store.write(put(b"k", b"v" * 40_000))
    with Worker(folder) as reader:
        assert reader.do("open") == "done"
        assert reader.do("hold", "read") == "held"
        reader.kill()
    for number in range(300):
        store.write(put(b"k", b"%d" % (number % 10) * 40_000))
    # 64 commits of 40 KB, and as much again to be freed by the ones after.
    assert (folder / "data.mdb").stat().st_size < 6 << 20
    before = (folder / "data.mdb").stat().st_size
    for number in range(300):
        store.write(put(b"k", b"%d" % (number % 10) * 40_000))
    assert (folder / "data.mdb").stat().st_size == before
