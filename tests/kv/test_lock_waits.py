"""Processes wait for the write lock and the reader lock, up to a time limit."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.errors import StoreBusyError
from langgraph.checkpoint.lmdb.kv import LmdbStore, Reader
from langgraph.checkpoint.lmdb.kv.lmdb import process_locks
from tests.kv.processes import in_fork
from tests.kv.test_lmdb_sharing import content, put
from tests.kv.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


Open = "Callable[..., LmdbStore]"


@pytest.fixture
def other(folder: Path) -> Iterator[Worker]:
    """Another process that has the store open."""
    with Worker(folder) as worker:
        assert worker.do("open") == "done"
        yield worker


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short limit on waits for locks."""
    monkeypatch.setattr(process_locks, "TIMEOUT", 0.05)


@pytest.mark.usefixtures("short_timeout")
def test_write_raises_an_error_if_another_process_keeps_the_write_lock(
    open_lmdb: Open, other: Worker
) -> None:
    store = open_lmdb()
    store.write(put(b"k"))
    assert other.do("hold", "write") == "held"
    with pytest.raises(StoreBusyError, match="write lock") as caught:
        store.write(put(b"l"))
    assert caught.value.processes == [other.pid]
    assert content(store) == {b"k": b"v"}
    with pytest.raises(StoreBusyError):
        store.compact()
    assert other.do("") == "done"
    store.write(put(b"l"))
    assert content(store) == {b"k": b"v", b"l": b"v"}


@pytest.mark.usefixtures("short_timeout")
def test_error_names_a_stopped_writer(open_lmdb: Open, other: Worker) -> None:
    store = open_lmdb()
    assert other.do("hold", "write") == "held"
    os.kill(other.pid, signal.SIGSTOP)
    with pytest.raises(StoreBusyError, match=str(other.pid)):
        store.write(put(b"l"))
    other.kill()
    store.write(put(b"l"))


def test_waiting_for_the_write_lock_can_be_interrupted(
    open_lmdb: Open, other: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_lmdb()
    assert other.do("hold", "write") == "held"
    pause = process_locks.LockWait.pause
    pauses: list[int] = []

    def interrupt(self: process_locks.LockWait) -> None:
        pauses.append(1)
        if len(pauses) == 20:
            os.kill(os.getpid(), signal.SIGINT)
        pause(self)

    monkeypatch.setattr(process_locks.LockWait, "pause", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.write(put(b"l"))
    assert other.do("") == "done"
    store.write(put(b"m"))
    assert content(store) == {b"m": b"v"}


def test_fork_does_not_wait_for_a_thread_that_waits_for_the_write_lock(
    open_lmdb: Open, other: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_lmdb()
    assert other.do("hold", "write") == "held"
    waiting = threading.Event()
    pause = process_locks.LockWait.pause
    monkeypatch.setattr(process_locks.LockWait, "pause", lambda self: (waiting.set(), pause(self)))
    thread = threading.Thread(target=store.write, args=(put(b"thread"),))
    thread.start()
    waiting.wait()
    in_fork(lambda: content(store))
    assert thread.is_alive()
    assert content(store) == {}
    assert other.do("") == "done"
    thread.join()
    assert content(store) == {b"thread": b"v"}


def test_close_does_not_wait_for_a_thread_that_waits_for_the_write_lock(
    open_lmdb: Open, other: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_lmdb()
    assert other.do("hold", "write") == "held"
    waiting = threading.Event()
    pause = process_locks.LockWait.pause
    monkeypatch.setattr(process_locks.LockWait, "pause", lambda self: (waiting.set(), pause(self)))
    failures: list[Exception] = []

    def write() -> None:
        try:
            store.write(put(b"thread"))
        except Exception as error:  # noqa: BLE001 - checked below
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    waiting.wait()
    store.close()
    thread.join()
    assert [type(error).__name__ for error in failures] == ["StoreClosedError"]


def test_killed_writer_releases_the_write_lock(open_lmdb: Open, other: Worker) -> None:
    store = open_lmdb()
    assert other.do("hold", "write") == "held"
    other.kill()
    store.write(put(b"k"))
    assert content(store) == {b"k": b"v"}


@pytest.mark.usefixtures("short_timeout")
def test_reader_raises_an_error_if_another_process_keeps_the_reader_lock(
    open_lmdb: Open, folder: Path
) -> None:
    store = open_lmdb()
    content(store)
    locks = process_locks.ProcessLocks(str(folder), None)
    assert locks.acquire_readers()
    content(store)  # with the slot that it keeps

    def read() -> None:
        with store.read() as reader:
            read_again(reader)

    def read_again(reader: Reader) -> None:
        caught: list[BaseException] = []

        def body() -> None:
            try:
                content(store)
            except StoreBusyError as error:
                caught.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        assert "reader table" in str(caught)
        assert reader.get(b"k") is None

    read()
    locks.release_readers()
    locks.close()
    with store.read():
        thread = threading.Thread(target=content, args=(store,))
        thread.start()
        thread.join()


def test_process_that_has_just_released_the_write_lock_lets_a_waiter_take_it(folder: Path) -> None:
    LmdbStore.open(folder).close()
    one, other = (process_locks.ProcessLocks(str(folder), (1, 1)) for _ in range(2))
    assert one.try_acquire_write()
    assert not other.try_acquire_write()  # it waits from now on
    one.release_write()
    one._released_at = float("inf")  # just now, however long the test takes
    assert not one.try_acquire_write()
    assert other.try_acquire_write()
    assert not one.try_acquire_write()
    other.release_write()
    assert one.try_acquire_write()
    one.release_write()
    assert not other._waiting
    one.close()
    other.close()


def test_waiter_that_gave_up_delays_no_other_process(
    open_lmdb: Open, folder: Path, short_timeout: None
) -> None:
    store = open_lmdb()
    locks = process_locks.ProcessLocks(str(folder), (1, 1))
    assert locks.try_acquire_write()
    with pytest.raises(StoreBusyError):
        store.write(put(b"k"))
    locks.release_write()
    locks._released_at = float("inf")
    assert locks.try_acquire_write()
    locks.close()
