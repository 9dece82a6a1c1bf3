"""Compaction: free pages are given back to the file system while the store is in use."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.errors import ReadOnlyError, StoreIOError, UsageError
from langgraph.checkpoint.lmdb.kv.lmdb import compaction
from langgraph.checkpoint.lmdb.kv.lmdb.meta_pages import read_meta_pages
from tests.kv.processes import fork, in_new_process
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.lmdb.kv import LmdbStore

TRANSACTION = slice(16 + 24 + 96 + 8, 16 + 24 + 96 + 16)  # in a meta page

Open = "Callable[..., LmdbStore]"


def data(folder: Path) -> os.stat_result:
    return (folder / "data.mdb").stat()


def fill(store: LmdbStore, name: bytes, count: int = 1000) -> None:
    """Store records of about three megabytes."""
    store.write(lambda w: [w.put(name + b"%06d" % n, os.urandom(3000)) for n in range(count)])


def thin(store: LmdbStore, name: bytes, count: int = 1000) -> None:
    """Delete two thirds of the records."""
    store.write(lambda w: [w.delete(name + b"%06d" % n) for n in range(count) if n % 3])


def check_pages(folder: Path) -> None:
    """Check the pages of the data file with LMDB's own verifier."""
    command = [sys.executable, "-m", "lmdb", "-e", str(folder), "verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unrecognized" in done.stderr.lower() or "no such command" in done.stderr.lower():
        return  # this py-lmdb has no verifier; tests compare the contents too
    assert (done.returncode, done.stdout) == (0, "verify: OK\n"), done.stderr


def test_free_pages_are_given_back_to_the_file_system(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb()
    fill(store, b"k")
    thin(store, b"k")
    stored, before = content(store), data(folder)
    given = store.compact()
    after = data(folder)
    assert given == (before.st_blocks - after.st_blocks) * 512 > before.st_size / 2
    assert after.st_size == pytest.approx(before.st_size, abs=200_000)
    assert after.st_blocks * 512 < 1.2 * sum(map(len, stored.values())) * 4096 / 3000
    assert content(store) == stored
    store.close()
    check_pages(folder)
    again = open_lmdb()
    assert content(again) == stored
    fill(again, b"l", 600)
    assert data(folder).st_size == after.st_size
    assert len(content(again)) == 334 + 600
    again.close()
    check_pages(folder)


def test_second_compaction_frees_no_pages(open_lmdb: Open) -> None:
    store = open_lmdb()
    fill(store, b"k")
    thin(store, b"k")
    store.compact()
    assert store.compact() < 100_000
    assert store.compact() < 20_000


def test_many_holes_are_punched_in_several_transactions(
    open_lmdb: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other writers can write between them."""
    monkeypatch.setattr(compaction, "_BATCH", 7)
    store = open_lmdb()
    fill(store, b"k", 300)
    thin(store, b"k", 300)
    stored = content(store)
    turns = []
    punch_batch = compaction.Compaction.punch_batch

    def counted(self: Any, transaction: int, oldest: int) -> bool:
        turns.append(transaction)
        return punch_batch(self, transaction, oldest)

    monkeypatch.setattr(compaction.Compaction, "punch_batch", counted)
    assert store.compact() > 200_000
    assert len(turns) > 10
    assert store.compact() < 100_000
    assert content(store) == stored


def test_pages_of_a_snapshot_are_kept(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb()
    fill(store, b"k")
    stored = content(store)
    inside, leave = threading.Event(), threading.Event()
    seen: list[dict[bytes, bytes]] = []

    def read() -> None:
        with store.read() as reader:
            inside.set()
            leave.wait()
            seen.append(dict(reader.range(b"", b"\xff")))

    thread = threading.Thread(target=read)
    thread.start()
    inside.wait()
    thin(store, b"k")
    fill(store, b"l", 10)
    kept = store.compact()
    leave.set()
    thread.join()
    assert seen == [stored]
    assert kept < 100_000
    assert store.compact() > 2_000_000


def test_pages_of_the_commit_before_the_last_are_kept(open_lmdb: Open, folder: Path) -> None:
    """A power cut may tear the newest meta page; LMDB then continues from the other one."""
    store = open_lmdb()
    fill(store, b"k")
    thin(store, b"k")
    stored = content(store)
    store.compact()
    store.close()
    with (folder / "data.mdb").open("r+b") as file:
        newest = read_meta_pages(file)[0]
        offset = newest.transaction % 2 * newest.page_size
        file.seek(offset)
        torn = bytearray(file.read(newest.page_size))
        torn[TRANSACTION] = bytes(8)
        file.seek(offset)
        file.write(torn)
    assert content(open_lmdb()) == stored
    open_lmdb().close()


READ = """
import sys
from langgraph.checkpoint.lmdb.kv import LmdbStore
store = LmdbStore.open(sys.argv[1], sync="off")
with store.read() as reader:
    print("reading", flush=True)
    sys.stdin.readline()
    print(len([value for _, value in reader.range(b"", b"z") if any(value)]), flush=True)
    sys.stdin.readline()
"""


def test_pages_of_a_snapshot_of_another_process_are_kept_until_it_dies(
    open_lmdb: Open, folder: Path
) -> None:
    store = open_lmdb()
    fill(store, b"k")
    command, pipe = [sys.executable, "-c", READ, str(folder)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as reading:
        assert reading.stdin is not None
        assert reading.stdout is not None
        assert reading.stdout.readline() == "reading\n"
        thin(store, b"k")
        assert store.compact() < 100_000
        reading.stdin.write("continue\n")
        reading.stdin.flush()
        assert reading.stdout.readline() == "1000\n"
        reading.kill()
    assert store.compact() > 2_000_000


CHURN = """
import os, sys
from langgraph.checkpoint.lmdb.kv import LmdbStore
store = LmdbStore.open(sys.argv[1], sync="off", map_size=1 << 20)
name = sys.argv[2].encode()
for turn in range(300):
    def apply(writer):
        for n in range(8):
            writer.put(name + b"%d" % ((5 * turn + n) % 50), bytes([turn % 256]) * 5000)
            writer.delete(name + b"%d" % ((7 * turn + n) % 50))
    store.write(apply)
    with store.read() as reader:
        for key, value in reader.range(b"", b"z"):
            assert len(set(value)) == 1 and len(value) == 5000, key
"""


def test_other_processes_write_and_read_during_compactions(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb(map_size=1 << 20)
    others = [
        subprocess.Popen([sys.executable, "-c", CHURN, str(folder), name]) for name in ("a", "b")
    ]
    turns = 0
    while any(other.poll() is None for other in others):
        store.compact()
        turns += 1
    assert [other.returncode for other in others] == [0, 0]
    assert turns > 5
    assert {len(set(value)) for value in content(store).values()} == {1}
    store.close()
    check_pages(folder)


@pytest.mark.parametrize("seed", range(4))
def test_snapshots_are_complete_in_any_order_of_changes(
    open_lmdb: Open, folder: Path, seed: int
) -> None:
    """Old and new snapshots keep their records through deletions, writes and compactions."""
    chance = random.Random(seed)
    store = open_lmdb(map_size=1 << 22)
    model: dict[bytes, bytes] = {}
    held: list[tuple[threading.Thread, threading.Event]] = []
    wrong: list[str] = []

    def hold(expected: dict[bytes, bytes], inside: threading.Event, leave: threading.Event) -> None:
        with store.read() as reader:
            inside.set()
            leave.wait()
            if dict(reader.range(b"", b"\xff")) != expected:
                wrong.append("a snapshot changed")

    def release(index: int) -> None:
        thread, leave = held.pop(index)
        leave.set()
        thread.join()

    for _ in range(120):
        kind = chance.random()
        if kind < 0.5:
            changed = {b"%d" % chance.randrange(60): chance.randbytes(chance.choice([50, 9000]))}
            model.update(changed)
            store.write(lambda w, c=changed: [w.put(k, v) for k, v in c.items()])
        elif kind < 0.7 and model:
            deleted = chance.sample(sorted(model), min(len(model), 8))
            store.write(lambda w, g=deleted: [w.delete(k) for k in g])
            model = {key: value for key, value in model.items() if key not in deleted}
        elif kind < 0.8:
            inside, leave = threading.Event(), threading.Event()
            thread = threading.Thread(target=hold, args=(model.copy(), inside, leave))
            thread.start()
            inside.wait()
            held.append((thread, leave))
        elif kind < 0.88 and held:
            release(chance.randrange(len(held)))
        else:
            store.compact()
        assert content(store) == model
    while held:
        release(0)
    assert wrong == []
    store.close()
    check_pages(folder)


def test_killed_compaction_leaves_all_records(
    open_lmdb: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed before and after each hole."""
    store = open_lmdb()
    fill(store, b"k", 60)
    thin(store, b"k", 60)
    stored = content(store)
    punch = compaction._punch_hole
    for after in range(0, 40, 4):
        pid = fork()
        if pid == 0:
            calls = iter(range(after))

            def punched(*args: Any, calls: Any = calls) -> None:
                if next(calls, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                punch(*args)

            monkeypatch.setattr(compaction, "_punch_hole", punched)
            store.compact()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, -signal.SIGKILL)
        assert content(store) == stored
        if after == 0:
            assert status == -signal.SIGKILL
    store.write(put(b"later"))
    store.close()
    check_pages(folder)


def test_system_that_cannot_punch_holes(
    open_lmdb: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_lmdb()
    fill(store, b"k", 60)
    thin(store, b"k", 60)
    stored = content(store)
    with monkeypatch.context() as without:
        without.setattr(ctypes, "CDLL", lambda *args, **options: object())
        with pytest.raises(UsageError, match="backup"):
            store.compact()
    with monkeypatch.context() as failing:
        failing.setattr(ctypes, "get_errno", lambda: 5)
        failing.setattr(ctypes, "CDLL", lambda *args, **options: Refusing())
        with pytest.raises(StoreIOError):
            store.compact()
    assert content(store) == stored
    assert store.compact() > 0


class Refusing:
    """A C library in which each call fails."""

    def fallocate(self, *args: object) -> int:
        return -1


def test_compaction_is_refused_in_a_transaction_and_with_readonly(
    open_lmdb: Open, folder: Path
) -> None:
    store = open_lmdb()
    assert store.compact() == 0
    with store.read(), pytest.raises(UsageError, match="already has a transaction"):
        store.compact()
    store.close()
    with pytest.raises(ReadOnlyError):
        open_lmdb(folder, readonly=True).compact()


def test_another_process_can_compact(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb()
    fill(store, b"k", 300)
    thin(store, b"k", 300)
    code = "from langgraph.checkpoint.lmdb.kv import LmdbStore; import sys\n"
    in_new_process(code + "assert LmdbStore.open(sys.argv[1]).compact() > 400_000", folder)
    assert len(content(store)) == 100
