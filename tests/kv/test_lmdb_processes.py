"""Forks and other processes, also killed ones."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from langgraph.checkpoint.lmdb.errors import (
    LmdbSaverError,
    StoreClosedError,
    StoreIOError,
    TooManyReadersError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore, forking
from langgraph.checkpoint.lmdb.kv.lmdb import creation, files, opening
from tests.kv.processes import fork, in_fork, in_new_process
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from collections.abc import Callable

Open = "Callable[..., LmdbStore]"


def test_forked_child_uses_the_inherited_store(open_lmdb: Open) -> None:
    store = open_lmdb()
    store.write(put(b"before"))

    def body() -> None:
        assert content(store) == {b"before": b"v"}
        store.write(put(b"child"))
        store.close()

    in_fork(body)
    store.write(put(b"after"))
    assert sorted(content(store)) == [b"after", b"before", b"child"]


@pytest.mark.parametrize("sync", ["normal", "off"])
def test_parent_child_and_grandchild_write_at_the_same_time(open_lmdb: Open, sync: str) -> None:
    store = open_lmdb(map_size=1 << 16, sync=sync)

    def work(name: bytes) -> None:
        for turn in range(50):
            store.write(put(name + b"%d" % turn, b"v" * 1000))

    def child() -> None:
        in_fork(lambda: work(b"grandchild"))
        work(b"child")

    pid = fork()
    if pid == 0:
        status = 1
        try:
            child()
            status = 0
        finally:
            os._exit(status)
    work(b"parent")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(content(store)) == 150


def test_fork_waits_for_transactions_of_other_threads(open_lmdb: Open) -> None:
    store = open_lmdb()
    store.write(put(b"k"))
    inside, done = threading.Event(), threading.Event()

    def read() -> None:
        with store.read() as reader:
            inside.set()
            while not forking.pending:
                assert reader.get(b"k") == b"v"
            done.set()

    thread = threading.Thread(target=read)
    thread.start()
    inside.wait()

    def body() -> None:
        assert done.is_set()
        store.write(put(b"child"))

    in_fork(body)
    thread.join()
    assert sorted(content(store)) == [b"child", b"k"]


def test_fork_while_other_threads_use_the_store(open_lmdb: Open) -> None:
    store = open_lmdb(map_size=1 << 16)
    stop = threading.Event()

    def work(name: bytes) -> None:
        turn = 0
        while not stop.is_set():
            store.write(put(name + b"%d" % (turn % 100), b"v" * 500))
            assert content(store)
            turn += 1

    threads = [threading.Thread(target=work, args=(b"%d-" % number,)) for number in range(3)]
    for thread in threads:
        thread.start()

    def body() -> None:
        for turn in range(10):
            store.write(put(b"child %d" % turn))
        assert content(store)

    for _ in range(5):
        in_fork(body)
    stop.set()
    for thread in threads:
        thread.join()
    assert len([key for key in content(store) if key.startswith(b"child")]) == 10


def test_fork_inside_a_transaction_does_not_affect_the_parent(open_lmdb: Open) -> None:
    store = open_lmdb()
    store.write(put(b"k"))
    with store.read() as reader:

        def body() -> None:
            with pytest.raises(StoreClosedError, match="forked in the middle"):
                content(store)

        in_fork(body)
        assert reader.get(b"k") == b"v"
    store.write(put(b"l"))
    in_fork(lambda: store.write(put(b"m")))
    assert sorted(content(store)) == [b"k", b"l", b"m"]


def test_fork_inside_a_write_leaves_the_commit_to_the_parent(open_lmdb: Open) -> None:
    store = open_lmdb()
    parent = os.getpid()

    def apply(writer) -> int:
        writer.put(b"k", b"v")
        return fork()

    status = 1
    try:
        child = store.write(apply)
    except StoreClosedError:
        assert os.getpid() != parent
        status = 0
    finally:
        if os.getpid() != parent:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.write(put(b"l"))
    assert sorted(content(store)) == [b"k", b"l"]


GROW = """
import sys
from langgraph.checkpoint.lmdb.kv import LmdbStore
store = LmdbStore.open(sys.argv[1], sync="off", map_size=1 << 16)
for turn in range(20):
    store.write(lambda writer: writer.put(b"new %d" % turn, b"v" * 100_000))
store.close()
"""


def test_map_that_another_process_enlarged_is_enlarged_here(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb(map_size=1 << 16)
    store.write(put(b"k"))
    in_new_process(GROW, folder)
    assert len(content(store)) == 21
    in_new_process(GROW.replace("new", "newer"), folder)
    store.write(put(b"l"))
    assert len(content(store)) == 42


def test_transaction_larger_than_the_map_runs_again(open_lmdb: Open) -> None:
    store = open_lmdb(map_size=1 << 16)
    runs = []

    def apply(writer) -> int:
        runs.append(len(list(writer.keys(b"", b"z"))))
        for number in range(100):
            writer.put(b"%d" % number, b"v" * 50_000)
        return number

    assert store.write(apply) == 99
    assert len(runs) > 1
    assert set(runs) == {0}
    assert len(content(store)) == 100


def test_map_grows_if_apply_catches_the_error(open_lmdb: Open) -> None:
    store = open_lmdb(map_size=1 << 16)

    def apply(writer) -> None:
        for number in range(100):
            with suppress(LmdbSaverError):
                writer.put(b"%d" % number, b"v" * 50_000)

    store.write(apply)
    assert len(content(store)) == 100


def test_map_starts_smaller_if_the_system_refuses_its_size(open_lmdb: Open, folder: Path) -> None:
    open_lmdb().close()

    def body() -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), -1))
        store = LmdbStore.open(folder, sync="off")
        store.write(put(b"k", b"v" * 1_000_000))
        assert len(content(store)[b"k"]) == 1_000_000
        store.close()

    in_fork(body)


def test_more_readers_than_lmdb_has_by_default(open_lmdb: Open) -> None:
    store = open_lmdb()
    store.write(put(b"k"))
    together = threading.Barrier(200)
    seen = []

    def read() -> None:
        with store.read() as reader:
            together.wait()
            seen.append(reader.get(b"k"))

    threads = [threading.Thread(target=read) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [b"v"] * 200


@pytest.fixture
def few_readers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose reader table has five slots. Each process that has read keeps one."""
    monkeypatch.setattr(files, "MAX_READERS", 5)
    monkeypatch.setattr(creation, "_LOCK_SIZE", 192 + 4 * 64)


def with_readers(store: LmdbStore, count: int, body: Callable[[], None]) -> None:
    """Run `body` while `count` other threads hold snapshots."""
    together = threading.Barrier(count + 1)
    stop = threading.Event()

    def hold() -> None:
        with store.read():
            together.wait()
            stop.wait()

    threads = [threading.Thread(target=hold) for _ in range(count)]
    for thread in threads:
        thread.start()
    together.wait()
    try:
        body()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.usefixtures("few_readers")
def test_reads_succeed_again_after_too_many_readers(open_lmdb: Open) -> None:
    store = open_lmdb()

    def body() -> None:
        with pytest.raises(TooManyReadersError):
            content(store)
        store.write(put(b"k"))

    with_readers(store, 5, body)
    assert content(store) == {b"k": b"v"}


READ_UNTIL_KILLED = """
import sys, threading
from langgraph.checkpoint.lmdb.kv import LmdbStore
store = LmdbStore.open(sys.argv[1], sync="off")
together = threading.Barrier(5)
def hold():
    with store.read():
        together.wait()
        threading.Event().wait()
for _ in range(4):
    threading.Thread(target=hold, daemon=True).start()
together.wait()
print("reading", flush=True)
sys.stdin.read()
"""
OPEN = """
import sys
from langgraph.checkpoint.lmdb.kv import LmdbStore
LmdbStore.open(sys.argv[1], sync="off").close()
"""


def kill_four_readers(folder: Path) -> str:
    """Let another process take four snapshots, and kill it; return its id."""
    command = [sys.executable, "-c", READ_UNTIL_KILLED, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as reading:
        assert reading.stdout is not None
        assert reading.stdout.readline() == "reading\n"
        reading.kill()
    return str(reading.pid)


@pytest.mark.usefixtures("few_readers")
def test_slots_of_killed_readers_are_freed_when_needed(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb()
    kill_four_readers(folder)
    with_readers(store, 4, lambda: None)


def test_slots_of_killed_readers_are_freed_on_opening(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb()
    killed = kill_four_readers(folder)
    assert killed in store._env._lmdb.readers()
    in_new_process(OPEN, folder)
    assert killed not in store._env._lmdb.readers()


def test_transaction_of_a_killed_writer_is_undone(open_lmdb: Open) -> None:
    store = open_lmdb()
    store.write(put(b"k"))

    def die(writer) -> None:
        writer.put(b"k", b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    pid = fork()
    if pid == 0:
        store.write(die)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert content(store) == {b"k": b"v"}
    store.write(put(b"l"))
    assert sorted(content(store)) == [b"k", b"l"]


OPEN_AND_CLOSE = """
import sys
from langgraph.checkpoint.lmdb.kv import LmdbStore
for _ in range(100):
    LmdbStore.open(sys.argv[1], sync="off").close()
"""


def test_processes_can_open_while_others_close(folder: Path) -> None:
    """With LMDB 0.9.31, some processes find its locks destroyed, and try again."""
    command = [sys.executable, "-c", OPEN_AND_CLOSE, str(folder)]
    others = [subprocess.Popen(command) for _ in range(3)]
    in_new_process(OPEN_AND_CLOSE, folder)
    assert [other.wait() for other in others] == [0, 0, 0]


@pytest.mark.parametrize("times", [0, 1, 5, 100])
def test_opening_is_repeated_while_locks_are_destroyed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    LmdbStore.open(folder).close()
    calls: list[int] = []
    opened = lmdb.open

    def fails(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            raise lmdb.InvalidParameterError("mdb_txn_begin: Invalid argument")
        return opened(*args, **options)

    monkeypatch.setattr(lmdb, "open", fails)
    monkeypatch.setattr(opening, "RETRY_JITTER", 0)
    if times < 100:
        LmdbStore.open(folder).close()
        assert len(calls) == times + 1
    else:
        with pytest.raises(StoreIOError, match="Invalid argument"):
            LmdbStore.open(folder)
