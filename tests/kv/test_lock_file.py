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
from tests.kv.test_replaced import replace_data
from tests.kv.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Open = "Callable[..., LmdbStore]"


@pytest.fixture
def other(folder: Path) -> Iterator[Worker]:
    """Another process that has the store open, with one value."""
    with Worker(folder) as worker:
        assert worker.do("open") == "done"
        assert worker.do("put", "k", "v") == "done"
        yield worker


def remove_lock(folder: Path) -> None:
    (folder / "lock.mdb").unlink()


def replace_lock(folder: Path) -> None:
    shutil.copy(folder / "lock.mdb", folder / "copy")
    (folder / "copy").rename(folder / "lock.mdb")


def recreate_lock(folder: Path) -> None:
    remove_lock(folder)
    (folder / "lock.mdb").write_bytes(bytes(32768))


LOCK_CHANGES = [remove_lock, replace_lock, recreate_lock]


@pytest.mark.parametrize("change", LOCK_CHANGES)
def test_process_cannot_join_with_another_lock_file(
    open_lmdb: Open, folder: Path, other: Worker, change: Callable[[Path], None]
) -> None:
    change(folder)
    with pytest.raises(StoreBusyError, match="another lock file") as caught:
        open_lmdb()
    assert caught.value.processes == [other.pid]
    assert other.do("close") == "done"
    assert content(open_lmdb()) == {b"k": b"v"}


@pytest.mark.parametrize("change", LOCK_CHANGES)
def test_writer_whose_lock_file_was_deleted_uses_the_new_one(
    open_lmdb: Open, folder: Path, other: Worker, change: Callable[[Path], None]
) -> None:
    change(folder)
    assert other.do("put", "l", "v") == "done"
    store = open_lmdb()
    for number in range(100):
        assert other.do("put", f"other{number}", "v") == "done"
        store.write(put(b"mine%d" % number))
    assert len(content(store)) == 202
    assert other.do("get", "mine99") == "v"


def test_writers_that_share_a_deleted_lock_file_continue(
    open_lmdb: Open, folder: Path, other: Worker
) -> None:
    store = open_lmdb()
    remove_lock(folder)
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


def test_snapshot_with_a_deleted_lock_file_keeps_its_pages(
    open_lmdb: Open, folder: Path, other: Worker
) -> None:
    """The writer must not use a new lock file: it would not see the reader."""
    store = open_lmdb()
    assert other.do("hold", "read") == "held"
    remove_lock(folder)
    for number in range(200):
        store.write(put(b"k", b"%d" % number * 1000))
    assert str(other.pid) in store._env._lmdb.readers()
    assert other.do("") == "done"


def test_read_without_a_lock_file_is_refused_while_a_writer_is_open(
    folder: Path, other: Worker
) -> None:
    remove_lock(folder)
    with Worker(folder) as reader:
        assert reader.do("open", "readonly").startswith("StoreBusyError")
        assert other.do("close") == "done"
        assert reader.do("open", "readonly") == "done"
        assert reader.do("get", "k") == "v"


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_data_file_that_is_a_link_is_refused_while_in_use(
    open_lmdb: Open, folder: Path, other: Worker, link: Callable[[Path, Path], None]
) -> None:
    second = folder.parent / "second"
    second.mkdir()
    link(folder / "data.mdb", second / "data.mdb")
    with pytest.raises(StoreBusyError, match="is a link"):
        open_lmdb(second)
    assert other.do("put", "l", "v") == "done"
    assert other.do("close") == "done"
    store = open_lmdb(second)
    store.write(put(b"m"))
    assert other.do("open").startswith("StoreBusyError")
    store.close()
    assert other.do("open") == "done"
    assert [other.do("get", key) for key in "klm"] == ["v"] * 3


def test_data_file_cannot_join_a_lock_file_of_another_one(
    open_lmdb: Open, folder: Path, other: Worker
) -> None:
    for number in range(20):
        other.do("put", number, "v")
    replace_data(folder)
    with pytest.raises(StoreReplacedError, match="in use with another data file"):
        open_lmdb()
    assert other.do("put", "l", "v").startswith("StoreReplacedError")
    assert other.do("get", "k").startswith("StoreReplacedError")
    assert other.do("close") == "done"
    assert content(open_lmdb()) == {b"another": b"store"}


def test_close_does_not_truncate_the_file_of_other_processes(
    open_lmdb: Open, folder: Path, other: Worker
) -> None:
    store = open_lmdb(sync="normal")
    store.write(put(b"m"))
    remove_lock(folder)
    (folder / "lock.mdb").write_bytes(bytes(32768))
    length = (folder / "data.mdb").stat().st_size
    store.close()
    assert (folder / "data.mdb").stat().st_size == length
    assert other.do("put", "n", "v") == "done"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 2)),
        st.tuples(st.just("reopen"), st.integers(0, 2)),
        st.tuples(st.just("lock"), st.sampled_from(LOCK_CHANGES)),
    ),
    min_size=5,
    max_size=30,
)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    """Three processes without a store."""
    with ExitStack() as stack:
        empty = tmp_path_factory.mktemp("empty")
        yield [stack.enter_context(Worker(empty)) for _ in range(3)]


@given(steps=STEPS)
def test_no_acknowledged_write_is_lost_by_changes_of_the_lock_file(
    tmp_path_factory: pytest.TempPathFactory, workers: list[Worker], steps: list[tuple[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("steps") / "store"
    LmdbStore.open(folder, sync="off").close()
    acknowledged: list[str] = []
    assert [worker.do("at", folder) for worker in workers] == ["done"] * 3
    is_open = [worker.do("open") == "done" for worker in workers]
    try:
        for number, (kind, which) in enumerate(steps):
            if callable(which):
                if (folder / "lock.mdb").exists():
                    which(folder)
                continue
            assert isinstance(which, int)
            if kind == "reopen":
                if is_open[which]:
                    assert workers[which].do("close") == "done"
                is_open[which] = workers[which].do("open") == "done"
            elif is_open[which]:
                assert workers[which].do("put", number, "v") == "done"
                acknowledged.append(str(number))
            for worker, ready in zip(workers, is_open, strict=True):
                if ready and acknowledged:
                    assert worker.do("get", acknowledged[-1]) == "v"
    finally:
        read = [
            worker.do("get", key)
            for worker, ready in zip(workers, is_open, strict=True)
            for key in acknowledged
            if ready
        ]
        for worker, ready in zip(workers, is_open, strict=True):
            if ready:
                assert worker.do("close") == "done"
    assert set(read) <= {"v"}
    with closing(LmdbStore.open(folder, sync="off")) as store:
        assert sorted(content(store)) == sorted(key.encode() for key in acknowledged)
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize("sync", ["off", "normal"])
def test_killed_reader_does_not_make_the_file_grow(
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
    # 64 commits of 40 KB, and as much again that later commits free.
    assert (folder / "data.mdb").stat().st_size < 6 << 20
    before = (folder / "data.mdb").stat().st_size
    for number in range(300):
        store.write(put(b"k", b"%d" % (number % 10) * 40_000))
    assert (folder / "data.mdb").stat().st_size == before
