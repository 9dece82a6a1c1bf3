"""Processes hold their own locks in calls of LMDB, so that no process waits in its mutexes."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import struct
import threading
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from langgraph.checkpoint.lmdb.kv import LmdbStore
from langgraph.checkpoint.lmdb.kv.lmdb import process_locks
from langgraph.checkpoint.lmdb.kv.log import store as log_store
from tests.kv.processes import fork, in_fork, in_new_process
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langgraph.checkpoint.lmdb import LmdbSaver

Open = "Callable[..., LmdbStore]"


def write_lock_is_held(folder: Path) -> bool:
    """Return True if a process holds the write lock."""
    handle = os.open(folder / "data.mdb", os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def reader_lock_is_held(folder: Path) -> bool:
    """Return True if a process holds the reader lock."""
    question = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, process_locks._READERS, 1, 0)
    handle = os.open(folder / "data.mdb", os.O_RDWR)
    try:
        answer = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, question)
    finally:
        os.close(handle)
    return struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK


class CheckedEnvironment:
    """A wrapper of an LMDB environment, which checks that each lock is held when it must be."""

    calls: set[str]

    def __init__(self, env: Any, folder: Path, calls: list[str]) -> None:
        self._env = env
        self._folder = folder
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def _slots(self) -> int:
        lines = self._env.readers().splitlines()
        return sum(str(os.getpid()) in line.split() for line in lines)

    def begin(self, write: bool = False) -> Any:
        if write:
            self._calls.append("write")
            assert write_lock_is_held(self._folder)
            return self._env.begin(write=True)
        locked, before = reader_lock_is_held(self._folder), self._slots()
        transaction = self._env.begin()
        self._calls.append("slot" if self._slots() > before else "spare")
        assert locked or self._slots() == before
        return transaction

    def reader_check(self) -> int:
        self._calls.append("check")
        assert reader_lock_is_held(self._folder)
        return int(self._env.reader_check())

    def copyfd(self, *arguments: Any, **options: Any) -> None:
        self._calls.append("copy")
        assert reader_lock_is_held(self._folder)
        self._env.copyfd(*arguments, **options)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of LMDB that need a lock, each one checked."""
    made: list[str] = []
    opened = lmdb.open

    def open_checked(path: str, **options: Any) -> Any:
        env = opened(path, **options)
        from pathlib import Path

        return CheckedEnvironment(env, Path(path), made) if options.get("lock", True) else env

    monkeypatch.setattr(lmdb, "open", open_checked)
    return made


def test_every_transaction_begins_under_its_lock(
    folder: Path, tmp_path: Path, calls: list[str]
) -> None:
    store = LmdbStore.open(folder, sync="normal", map_size=1 << 16)
    store.write(put(b"k", b"v" * 500_000))  # makes the map larger
    for _ in range(200):
        store.write(put(b"k"))
    content(store)
    content(store)
    store.compact()
    store.backup(tmp_path / "copy")
    in_fork(lambda: store.write(put(b"child")))
    store.write(put(b"l"))
    store.close()
    assert {"write", "slot", "spare", "check", "copy"} == set(calls)


def test_every_method_of_a_saver_writes_under_the_write_lock(
    open_saver: Callable[..., LmdbSaver], calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from langgraph.checkpoint.base import empty_checkpoint

    monkeypatch.setattr(log_store, "_MAX_KEYS", 0)  # each commit merges
    saver = open_saver(sync="normal")
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    config = saver.put(config, empty_checkpoint(), {}, {})
    saver.put_writes(config, [("c", 1)], "task")
    saver.copy_thread("t", "u")
    saver.delete_thread("u")
    saver.prune(["t"])
    saver.sweep()
    saver.compact()
    saver.close()
    assert calls.count("write") > 6


def test_snapshots_of_many_threads_take_slots_under_the_reader_lock(
    folder: Path, calls: list[str]
) -> None:
    store = LmdbStore.open(folder, sync="off")
    failures: list[BaseException] = []

    def read(depth: int) -> None:
        try:
            for _ in range(30):
                with store.read() as reader:
                    reader.get(b"k")
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    # One thread at a time is checked: slots of two threads look the same.
    with store.read():
        thread = threading.Thread(target=read, args=(0,))
        thread.start()
        thread.join()
    for _ in range(3):
        read(0)
    store.close()
    assert not failures
    assert calls.count("slot") < 5
    assert calls.count("spare") > 100


PUT = """
import sys
from langgraph.checkpoint.lmdb.kv import LmdbStore
from langgraph.checkpoint.lmdb.kv.lmdb import process_locks
process_locks.TIMEOUT = 5
store = LmdbStore.open(sys.argv[1], sync="off")
store.write(lambda writer: writer.put(b"new", b"v"))
store.close()
"""


@pytest.mark.parametrize("how", ["python", "c"])
def test_child_of_a_writer_does_not_keep_the_write_lock(
    open_lmdb: Open, folder: Path, how: str
) -> None:
    """A fork in C runs no handlers; the child shares the descriptor until it executes."""
    store = open_lmdb()
    libc = ctypes.PyDLL(None)

    def apply(writer: Any) -> int:
        writer.put(b"k", b"v")
        child = libc.fork() if how == "c" else fork()
        if child == 0:
            libc.pause()
            os._exit(0)
        return int(child)

    child = store.write(apply)
    try:
        in_new_process(PUT, folder)
        store.write(put(b"l"))
        assert sorted(content(store)) == [b"k", b"l", b"new"]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_closing_other_descriptors_of_the_file_keeps_the_write_lock(
    open_lmdb: Open, folder: Path
) -> None:
    store = open_lmdb()

    def apply(writer: Any) -> None:
        (folder / "data.mdb").read_bytes()
        with (folder / "data.mdb").open("r+b"):
            pass
        assert write_lock_is_held(folder)

    store.write(apply)
    assert not write_lock_is_held(folder)
