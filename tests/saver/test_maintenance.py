"""Backups and compaction with a saver."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import InvalidPathError, UsageError
from langgraph.checkpoint.lmdb.kv import MemoryStore
from tests.contract.driver import SaverDriver, config, ids, put, values

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 40


def filled(saver: LmdbSaver) -> None:
    """Store threads with large values, and delete every second one."""
    for number in range(COUNT):
        at = put(SaverDriver(saver), "c1", {"value": os.urandom(50_000)}, thread=f"t{number}")
        saver.put_writes(at, [("x", os.urandom(50_000))], "task")
    for number in range(0, COUNT, 2):
        saver.delete_thread(f"t{number}")


def everything(saver: LmdbSaver) -> list[Any]:
    return [*saver.list(None)]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_backup_is_restored_by_opening_it(
    saver: LmdbSaver, tmp_path: Path, asynchronous: bool
) -> None:
    """The backup has all data of the saver. Later changes are independent."""
    filled(saver)
    stored, steps = everything(saver), []
    target = tmp_path / "backups" / "monday"

    def progress(done: int, total: int) -> None:
        steps.append((done, total))

    if asynchronous:
        asyncio.run(saver.abackup(target, progress))
    else:
        saver.backup(target, progress)
    assert steps[-1][0] == steps[-1][1] > 0
    with LmdbSaver(target) as copy:
        assert everything(copy) == stored
        put(SaverDriver(copy), "c2", {"value": 2}, thread="t1", parent="c1")
        assert ids([*copy.list(config("t1"))]) == ["c2", "c1"]
    assert everything(saver) == stored
    with pytest.raises(InvalidPathError, match="backups/monday"):
        saver.backup(target)


def test_backup_during_writes_is_a_snapshot(saver: LmdbSaver, tmp_path: Path) -> None:
    """Each thread has all checkpoints up to one moment."""
    begun, stop = threading.Semaphore(0), threading.Event()

    def write(thread: str) -> int:
        number = 0
        while not stop.is_set():
            parent = f"{number - 1:05}" if number else None
            sent = {"value": [thread, number] * 500}
            put(SaverDriver(saver), f"{number:05}", sent, thread=thread, parent=parent)
            number += 1
            if number == 10:
                begun.release()
        return number

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, f"t{number}") for number in range(4)]
        for _ in writing:
            begun.acquire()
        for number in range(5):
            saver.backup(tmp_path / f"copy {number}")
        stop.set()
        counts = [one.result() for one in writing]
    for number in range(5):
        with LmdbSaver(tmp_path / f"copy {number}") as copy:
            for thread, count in enumerate(counts):
                found = ids([*copy.list(config(f"t{thread}"))])[::-1]
                assert 10 <= len(found) <= count
                assert found == [f"{n:05}" for n in range(len(found))]
                latest = values(SaverDriver(copy), config(f"t{thread}"))
                assert latest == {"value": [f"t{thread}", len(found) - 1] * 500}


def occupied(path: Path) -> int:
    names = ("data.mdb", "lock.mdb", "log.mdb")
    return sum((path / name).stat().st_blocks * 512 for name in names)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_compact_shrinks_the_file(saver: LmdbSaver, path: Path, asynchronous: bool) -> None:
    filled(saver)
    stored = everything(saver)
    before = occupied(path)
    given = asyncio.run(saver.acompact()) if asynchronous else saver.compact()
    assert given == before - occupied(path)
    assert given > COUNT * 50_000 * 0.6  # values that were deleted in the log were in no page
    assert everything(saver) == stored
    saver.close()
    with LmdbSaver(path) as again:
        assert everything(again) == stored


def test_store_in_memory_has_no_backup_and_no_compaction(tmp_path: Path) -> None:
    saver = KvSaver(MemoryStore())
    with pytest.raises(UsageError, match="no files"):
        saver.backup(tmp_path / "copy")
    with pytest.raises(UsageError, match="no files"):
        saver.compact()
    assert [*tmp_path.iterdir()] == []
