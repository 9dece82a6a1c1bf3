"""Stores that are dropped without being closed: they release all locks, maps and files."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import threading
import warnings
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.kv import LmdbStore
from langgraph.checkpoint.lmdb.kv.lmdb import registry
from langgraph.checkpoint.lmdb.kv.lmdb.store import DEFAULT_MAP_SIZE
from tests.kv.processes import in_fork, in_new_process, in_thread
from tests.kv.test_lmdb_sharing import TRY_EXCLUSIVE, content, put

if TYPE_CHECKING:
    from collections.abc import Iterator

Open = "Callable[..., LmdbStore]"


def handles() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def mapped(folder: Path) -> int:
    """Return the bytes of address space that maps of the store's files take."""
    total = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(("data.mdb", "lock.mdb")) and str(folder) in line:
            start, stop = line.split()[0].split("-")
            total += int(stop, 16) - int(start, 16)
    return total


@contextmanager
def warned() -> Iterator[None]:
    """Expect the warning of a store that was not closed."""
    with pytest.warns(ResourceWarning, match="was not closed"):
        yield


def dropped(folder: Path, **options: Any) -> None:
    """Open a store, use it, and drop it."""
    store = LmdbStore.open(folder, **{"sync": "off", **options})
    if not store.readonly:
        store.write(put(b"k"))
    assert content(store) == {b"k": b"v"}


@pytest.mark.parametrize("sync", ["off", "full"])
def test_dropped_store_is_closed_immediately(folder: Path, sync: str) -> None:
    before = handles()
    with pytest.warns(ResourceWarning, match="was not closed") as caught:
        dropped(folder, sync=sync)
    assert len(caught) == 1
    assert str(folder) in str(caught[0].message)
    assert "close()" in str(caught[0].message)
    assert handles() == before
    assert mapped(folder) == 0
    assert in_new_process(TRY_EXCLUSIVE, folder) == ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LmdbStore.open(folder, sync="normal").close()
        gc.collect()


def test_closed_store_gives_no_warning(open_lmdb: Open) -> None:
    store = open_lmdb()
    store.close()
    store.close()
    dropped = weakref.ref(store)
    del store
    gc.collect()
    assert dropped() is None or dropped()._env is None


def test_dropped_store_leaves_other_stores_of_the_folder_open(
    open_lmdb: Open, folder: Path
) -> None:
    with warned():
        dropped(folder)
    kept = open_lmdb()
    with warned():
        dropped(folder)
    with warned():
        dropped(folder, readonly=True)
    kept.write(put(b"l"))
    assert content(kept) == {b"k": b"v", b"l": b"v"}
    kept.close()
    assert mapped(folder) == 0


def test_open_snapshot_keeps_the_store_open(folder: Path) -> None:
    def under_way() -> Any:
        store = LmdbStore.open(folder, sync="off")
        store.write(lambda writer: [writer.put(b"%d" % n, b"v") for n in range(9)])

        def rows() -> Any:
            with store.read() as reader:
                yield from reader.range(b"", b"z")

        return rows()

    rows = under_way()
    next(rows)
    gc.collect()
    assert mapped(folder) > 0
    with warned():
        assert len(list(rows)) == 8
        del rows
        gc.collect()
    assert mapped(folder) == 0


def test_reference_cycle_with_a_transaction_is_collected(folder: Path) -> None:
    """Another thread made the store and its open transaction, which become garbage together."""

    def body() -> None:
        store = LmdbStore.open(folder, sync="off")
        reader = store.read()
        reader.__enter__()
        ring: list[Any] = [store, reader]
        ring.append(ring)

    gc.disable()
    try:
        in_thread(body)
        with warned():
            gc.collect()
    finally:
        gc.enable()
    LmdbStore.open(folder.with_name("another"), sync="off").close()  # releases dropped stores
    assert mapped(folder) == 0
    LmdbStore.open(folder, sync="full").close()


@pytest.mark.parametrize("lock", ["registry", "gate"])
def test_collection_while_a_lock_is_held_does_not_wait(folder: Path, lock: str) -> None:
    """A collection may run in a thread that holds the locks of `close`."""
    store: LmdbStore | None = LmdbStore.open(folder, sync="off")
    assert store is not None
    held = {"registry": registry._registry._lock, "gate": store._env.lock._turn}[lock]
    with warned(), held:
        del store
        gc.collect()
        assert mapped(folder) > 0
    LmdbStore.open(folder.with_name("another"), sync="off").close()
    assert mapped(folder) == 0
    LmdbStore.open(folder, sync="full").close()


def test_store_opened_again_before_the_dropped_one_is_released_is_open(
    open_lmdb: Open, folder: Path
) -> None:
    store: LmdbStore | None = LmdbStore.open(folder, sync="off")
    with warned(), registry._registry._lock:
        del store
    again = open_lmdb()
    again.write(put(b"k"))
    with warned():
        dropped(folder.with_name("another"))
    assert content(again) == {b"k": b"v"}


def test_stores_can_be_dropped_by_many_threads(folder: Path) -> None:
    LmdbStore.open(folder, sync="off").close()

    def use(number: int) -> None:
        for turn in range(30):
            store = LmdbStore.open(folder, sync="off")
            store.write(put(b"%d-%d" % (number, turn)))
            if turn % 3:
                store.close()

    with warned():
        threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        del thread, threads
        gc.collect()
    store = LmdbStore.open(folder, sync="full")
    assert len(content(store)) == 180
    store.close()
    assert mapped(folder) == 0


def test_forked_child_can_drop_inherited_stores(open_lmdb: Open, folder: Path) -> None:
    store: Any = LmdbStore.open(folder, sync="off")
    store.write(put(b"k"))
    holder = [store]
    del store

    def body() -> None:
        with warned():
            assert content(holder[0]) == {b"k": b"v"}
            holder.clear()
        assert mapped(folder) == 0
        dropped_again = LmdbStore.open(folder, sync="off")
        assert content(dropped_again) == {b"k": b"v"}
        dropped_again.close()

    in_fork(body)
    holder[0].write(put(b"l"))
    holder[0].close()


AT_EXIT = """
import sys, threading
from langgraph.checkpoint.lmdb.kv import LmdbStore
kept = LmdbStore.open(sys.argv[1])
kept.write(lambda writer: writer.put(b"k", b"v"))
cycle = [kept]; cycle.append(cycle)
def hold():
    with kept.read():
        inside.set()
        threading.Event().wait()
inside = threading.Event()
threading.Thread(target=hold, daemon=True).start()
inside.wait()
"""


def test_interpreter_exits_without_a_warning(folder: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", AT_EXIT, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    store = LmdbStore.open(folder)
    assert content(store) == {b"k": b"v"}
    store.close()


MANY = """
import resource, sys, warnings
from pathlib import Path
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.base import empty_checkpoint
folder, count, handles, room = Path(sys.argv[1]), *map(int, sys.argv[2:])
warnings.simplefilter("ignore", ResourceWarning)
resource.setrlimit(resource.RLIMIT_NOFILE, (handles, handles))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
for number in range(count):
    kind = number % 3
    saver = LmdbSaver(
        folder / str(number % 100),
        sync="off",
        ttl={"default_ttl": 60, "sweep_interval_minutes": 60} if kind == 1 else None,
        encryption_key=b"k" * 32 if number % 100 % 10 == 7 else None,
    )
    ring = [saver]
    if kind == 2:
        ring.append(ring)  # collected at any moment, or when descriptors are missing
    saver.put(config, empty_checkpoint(), {}, {})
    assert saver.get_tuple(config) is not None
print("done")
"""


def many(folder: Path, count: int, handles: int, room: int) -> None:
    assert in_new_process(MANY, folder, count, handles, room) == "done\n"


def test_dropped_stores_fit_into_a_low_limit_on_descriptors(tmp_path: Path) -> None:
    many(tmp_path, 150, 64, 1 << 30)


@pytest.mark.long
def test_two_thousand_dropped_stores_fit_into_the_default_limit(tmp_path: Path) -> None:
    many(tmp_path, 2000, 1024, 4 << 30)


def test_open_stores_take_little_address_space(open_lmdb: Open, tmp_path: Path) -> None:
    for number in range(10):
        open_lmdb(tmp_path / str(number)).write(put(b"k"))
    assert mapped(tmp_path) < 10 * (DEFAULT_MAP_SIZE + (1 << 20))
    assert DEFAULT_MAP_SIZE <= 1 << 30


def test_store_is_opened_with_a_map_larger_than_its_file(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb(map_size=1 << 16)
    store.write(put(b"k", bytes(20 << 20)))
    store.close()
    store = open_lmdb(map_size=1 << 16)
    assert store._env.map_size >= 40 << 20


def test_map_is_enlarged_before_a_long_read(
    open_lmdb: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map cannot grow while a transaction is open."""
    store = open_lmdb(map_size=1 << 20)

    def check(folder: str) -> None:
        in_thread(lambda: store.write(put(b"k", bytes(20 << 20))))

    monkeypatch.setattr("langgraph.checkpoint.lmdb.kv.lmdb.page_check.check", check)
    store.check_pages()
    assert len(content(store)[b"k"]) == 20 << 20


def test_lack_of_descriptors_is_reported(open_lmdb: Open, folder: Path) -> None:
    def body() -> None:
        open_ones = handles()
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_ones + 1, open_ones + 1))
        with pytest.raises(Exception, match="too many files are open") as caught:
            LmdbStore.open(folder)
        assert type(caught.value).__name__ == "StoreIOError"
        assert "ulimit -n" in str(caught.value)

    in_fork(body)
    open_lmdb()
