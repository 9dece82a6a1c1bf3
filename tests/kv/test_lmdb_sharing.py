"""All stores that a process opens on one folder share one LMDB environment."""

from __future__ import annotations

import shutil
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.errors import (
    RetryableError,
    StoreClosedError,
    StoreReplacedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore, Reader, Writer
from langgraph.checkpoint.lmdb.kv.lmdb import environment
from tests.kv.processes import in_new_process, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Open = "Callable[..., LmdbStore]"


def put(key: bytes, value: bytes = b"v") -> Callable[[Writer], None]:
    return lambda writer: writer.put(key, value)


def content(store: LmdbStore) -> dict[bytes, bytes]:
    with store.read() as reader:
        return dict(reader.range(b"", b"\xff"))


def test_closing_a_store_leaves_other_stores_on_its_path_open(open_lmdb: Open) -> None:
    one, other = open_lmdb(), open_lmdb()
    one.write(put(b"k"))
    assert content(other) == {b"k": b"v"}
    one.close()
    other.write(put(b"l"))
    assert content(other) == {b"k": b"v", b"l": b"v"}
    with pytest.raises(StoreClosedError):
        one.write(put(b"m"))


def test_paths_to_one_folder_share_one_environment(
    open_lmdb: Open, folder: Path, monkeypatch
) -> None:
    one = open_lmdb()
    one.write(put(b"k"))
    link = folder.parent / "link"
    link.symlink_to(folder)
    monkeypatch.chdir(folder.parent)
    for path in (link, "store", "./link/../store", f"{folder}/"):
        assert content(open_lmdb(path)) == {b"k": b"v"}


def test_store_that_was_deleted_and_created_again_is_another_store(
    open_lmdb: Open, folder: Path
) -> None:
    old = open_lmdb()
    old.write(put(b"old"))
    shutil.rmtree(folder)
    new = open_lmdb()
    new.write(put(b"new"))
    with pytest.raises(StoreReplacedError):
        content(old)
    assert content(new) == {b"new": b"v"}


TRY_EXCLUSIVE = """
import fcntl, sys
with open(sys.argv[1] + "/lock.mdb", "r+b") as lock:
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
    except OSError:
        print("held")
"""


def test_closing_a_deleted_store_releases_no_lock_of_its_successor(
    open_lmdb: Open, folder: Path
) -> None:
    old = open_lmdb(sync="full")
    old.write(put(b"old"))
    shutil.rmtree(folder)
    open_lmdb(sync="full")
    old.close()
    assert in_new_process(TRY_EXCLUSIVE, folder) == "held\n"


def test_another_sync_in_the_same_process_is_an_error(open_lmdb: Open) -> None:
    store = open_lmdb(sync="off")
    with pytest.raises(UsageError, match="sync='off', not 'full'"):
        open_lmdb(sync="full")
    store.write(put(b"k"))
    store.close()
    assert content(open_lmdb(sync="full")) == {b"k": b"v"}


def test_another_map_size_in_the_same_process_is_allowed(open_lmdb: Open) -> None:
    one, other = open_lmdb(map_size=1 << 20), open_lmdb(map_size=1 << 30)
    one.write(put(b"k", b"v" * (2 << 20)))
    assert len(content(other)[b"k"]) == 2 << 20


def test_readers_and_writers_of_one_process_share(open_lmdb: Open) -> None:
    open_lmdb().close()
    reading = open_lmdb(readonly=True, sync="full")
    assert content(reading) == {}
    writing = open_lmdb(sync="normal")
    writing.write(put(b"k"))
    also_reading = open_lmdb(readonly=True, sync="off")
    assert content(reading) == content(also_reading) == {b"k": b"v"}
    writing.close()
    assert content(reading) == {b"k": b"v"}


@pytest.mark.parametrize("sync", ["full", "normal", "off"])
def test_records_are_there_after_opening_again(open_lmdb: Open, sync: str) -> None:
    store = open_lmdb(sync=sync)
    store.write(put(b"k"))
    store.close()
    assert content(open_lmdb(sync=sync)) == {b"k": b"v"}


def test_closing_waits_for_the_transactions_of_other_threads(open_lmdb: Open) -> None:
    store = open_lmdb()
    store.write(put(b"k"))
    inside, closing = threading.Event(), threading.Event()
    seen = []

    def read() -> None:
        with store.read() as reader:
            inside.set()
            closing.wait()
            seen.extend(reader.range(b"", b"z"))

    reader = threading.Thread(target=read)
    reader.start()
    inside.wait()
    closer = threading.Thread(target=store.close)
    closer.start()
    closing.set()
    closer.join()
    assert seen == [(b"k", b"v")]
    reader.join()


def test_closing_inside_a_transaction_is_an_error(open_lmdb: Open) -> None:
    store = open_lmdb()
    with store.read() as reader:
        with pytest.raises(UsageError, match="already has a transaction"):
            store.close()
        assert reader.get(b"k") is None
    store.write(put(b"k"))


def test_opening_inside_a_transaction_of_the_same_store_is_an_error(open_lmdb: Open) -> None:
    store = open_lmdb()
    with store.read(), pytest.raises(UsageError, match="already has a transaction"):
        open_lmdb()
    store.close()
    open_lmdb(sync="full").write(put(b"k"))


def test_reader_that_begins_while_the_store_is_closed_gets_an_error(open_lmdb: Open) -> None:
    store = open_lmdb()
    env = store._env
    store.close()
    for write in (True, False):
        with pytest.raises(StoreClosedError):
            env.begin(env.lock.check_not_held(), write=write)


class Interrupted:
    """A wrapper of an object. The first call of one method is interrupted after its work."""

    def __init__(self, target: object, method: str) -> None:
        self.target = target
        self.method: str | None = method

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.target, name)
        if name != self.method:
            return found

        def interrupted(*arguments: Any, **options: Any) -> None:
            self.method = None
            found(*arguments, **options)
            raise KeyboardInterrupt

        return interrupted

    def __contains__(self, item: object) -> bool:
        return item in self.target

    def __len__(self) -> int:
        return len(self.target)


@pytest.mark.parametrize(
    ("owner", "name", "method"),
    [
        (lambda env: env.lock, "_owners", "add"),
        (lambda env: env, "_lmdb", "begin"),
        (lambda env: env, "_preallocator", "reserve"),
    ],
)
def test_interrupt_at_the_begin_of_a_transaction_holds_no_lock(
    open_lmdb: Open, owner: Callable[[Any], object], name: str, method: str
) -> None:
    store = open_lmdb(sync="normal")
    for use in (content, lambda store: store.write(put(b"k"))):
        place = owner(store._env)
        whole = getattr(place, name)
        setattr(place, name, Interrupted(whole, method))
        reads = use is content
        with nullcontext() if reads and method == "reserve" else pytest.raises(KeyboardInterrupt):
            use(store)
        setattr(place, name, whole)
        store.write(put(b"k"))
        assert content(store) == {b"k": b"v"}
    store.close()


@pytest.mark.parametrize("round", range(5))
def test_calls_during_close_succeed_or_raise_store_closed_error(folder: Path, round: int) -> None:
    stores = [LmdbStore.open(folder, sync="off", map_size=1 << 16) for _ in range(3)]
    started = threading.Barrier(7)
    finished = []

    def scan(reader: Reader) -> None:
        for key, value in reader.range(b"", b"z", reverse=bool(round % 2)):
            assert value == key * 50

    def use(store: LmdbStore, number: int) -> None:
        started.wait()
        try:
            for turn in range(1_000_000):
                key = b"%d-%d" % (number, turn)
                store.write(put(key, key * 50))
                with store.read() as reader:
                    under_way = reader.range(b"", b"z")
                    next(under_way)
                    scan(reader)
        except StoreClosedError:
            finished.append(number)

    threads = [
        threading.Thread(target=use, args=(stores[number % 3], number)) for number in range(6)
    ]
    for thread in threads:
        thread.start()
    started.wait()
    for store in stores:
        for _ in range(20):
            another = LmdbStore.open(folder, sync="off")
            with another.read() as reader:
                scan(reader)
            another.close()
        in_thread(store.close)
    for thread in threads:
        thread.join()
    assert sorted(finished) == list(range(6))


def test_many_threads_can_open_and_close(folder: Path) -> None:
    LmdbStore.open(folder, sync="off").close()

    def use(number: int) -> None:
        for turn in range(30):
            store = LmdbStore.open(folder, sync="off")
            store.write(put(b"%d-%d" % (number, turn)))
            store.close()

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = LmdbStore.open(folder, sync="off")
    assert len(content(store)) == 180
    store.close()


def test_readers_do_not_wait_for_a_map_that_cannot_grow_yet(
    open_lmdb: Open,
) -> None:
    store = open_lmdb(map_size=1 << 16)
    store.write(put(b"k"))
    replaced = threading.Event()
    inside, stop = threading.Event(), threading.Event()

    def read_for_long() -> None:
        with store.read():
            inside.set()
            stop.wait()

    def write() -> None:
        store.write(put(b"large", b"v" * 1_000_000))
        replaced.set()

    threads = [threading.Thread(target=read_for_long), threading.Thread(target=write)]
    threads[0].start()
    inside.wait()
    threads[1].start()
    while not store._env.lock.is_exclusive():
        pass
    for _ in range(3):
        assert content(store) == {b"k": b"v"}
    assert not replaced.is_set()
    stop.set()
    for thread in threads:
        thread.join()
    assert len(content(store)[b"large"]) == 1_000_000


def test_writer_succeeds_again_after_a_read_that_lasted_too_long(
    open_lmdb: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_PATIENCE", 0.0)
    store = open_lmdb(map_size=1 << 16)
    store.write(put(b"k"))
    inside, stop = threading.Event(), threading.Event()

    def read_for_long() -> None:
        with store.read():
            inside.set()
            stop.wait()

    reading = threading.Thread(target=read_for_long)
    reading.start()
    inside.wait()
    with pytest.raises(RetryableError, match="reading the store"):
        store.write(put(b"large", b"v" * 1_000_000))
    store.write(put(b"small"))
    stop.set()
    reading.join()
    store.write(put(b"large", b"v" * 1_000_000))
    assert sorted(content(store)) == [b"k", b"large", b"small"]
