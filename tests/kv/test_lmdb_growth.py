"""Preallocation: zeros at the end of the data file, which the last close removes."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.kv.lmdb.meta_pages import read_meta_pages, used_length
from langgraph.checkpoint.lmdb.kv.lmdb.process_locks import ProcessLocks
from tests.kv.processes import fork, in_new_process
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv import LmdbStore

Open = "Callable[..., LmdbStore]"


def length(folder: Path) -> int:
    return (folder / "data.mdb").stat().st_size


def used(folder: Path) -> int:
    with (folder / "data.mdb").open("rb") as file:
        return used_length(read_meta_pages(file))


def fill(store: LmdbStore, count: int, size: int = 2000) -> list[int]:
    """Return the file's length after each of `count` commits."""
    lengths = []
    for number in range(count):
        store.write(put(os.urandom(8).hex().encode(), bytes([number % 256]) * size))
        lengths.append(length(Path(store._folder)))
    return lengths


@pytest.mark.parametrize("sync", ["full", "normal"])
def test_most_commits_do_not_make_the_file_longer(open_lmdb: Open, folder: Path, sync: str) -> None:
    store = open_lmdb(sync=sync)
    lengths = fill(store, 200)
    assert len(set(lengths)) <= 10
    assert length(folder) > used(folder)
    data = (folder / "data.mdb").stat()
    assert data.st_blocks * 512 >= data.st_size


def test_preallocated_space_is_a_small_part_of_the_file(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb(sync="normal")
    store.write(lambda writer: [writer.put(b"%06d" % n, b"v" * 3000) for n in range(3000)])
    fill(store, 3)
    assert 0 < length(folder) - used(folder) <= used(folder) // 8


def test_large_transaction_needs_no_preallocated_space(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb(sync="normal")
    value = os.urandom(5_000_000)
    store.write(put(b"k", value))
    fill(store, 3)
    assert content(store)[b"k"] == value


def test_no_space_is_preallocated_without_flushing(open_lmdb: Open, folder: Path) -> None:
    fill(open_lmdb(sync="off"), 50)
    assert length(folder) == used(folder)


def test_last_close_truncates_the_file(open_lmdb: Open, folder: Path) -> None:
    one, other = open_lmdb(sync="full"), open_lmdb(sync="full")
    fill(one, 10)
    one.close()
    assert length(folder) > used(folder)
    other.close()
    assert length(folder) == used(folder)
    assert len(content(open_lmdb(sync="full"))) == 10


HOLD = """
import sys
from langgraph.checkpoint.lmdb.kv import LmdbStore
store = LmdbStore.open(sys.argv[1], readonly=True)
with store.read() as reader:
    print(len(list(reader.keys(b"", b"\\xff" * 9))), flush=True)
    sys.stdin.readline()
    print(len(list(reader.range(b"", b"\\xff" * 9))), flush=True)
"""


def test_space_is_kept_while_another_process_has_the_store_open(
    open_lmdb: Open, folder: Path
) -> None:
    store = open_lmdb(sync="full")
    fill(store, 10)
    command = [sys.executable, "-c", HOLD, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as reading:
        assert reading.stdout is not None
        assert reading.stdout.readline() == "10\n"
        store.close()
        assert length(folder) > used(folder)
        assert reading.communicate("\n")[0] == "10\n"
    store = open_lmdb(sync="full")
    store.write(put(b"k"))
    store.close()
    assert length(folder) == used(folder)


def test_space_that_a_killed_process_left_is_used(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb(sync="full")
    pid = fork()
    if pid == 0:
        fill(store, 10)
        os._exit(0)
    os.waitpid(pid, 0)
    assert length(folder) > used(folder)
    assert len(content(store)) == 10
    fill(store, 10)
    store.close()
    assert length(folder) == used(folder)
    verify = pytest.importorskip("lmdb.verify", reason="came with lmdb 3.0")
    assert not verify.verify(str(folder))


WRITE = """
import sys
from langgraph.checkpoint.lmdb.kv import LmdbStore
name = sys.argv[2].encode()
for opened in range(5):
    store = LmdbStore.open(sys.argv[1], sync="normal")
    for turn in range(20):
        key = name + b"-%d-%d" % (opened, turn)
        store.write(lambda writer: writer.put(key, key * 300))
    store.close()
"""


def test_processes_that_extend_and_truncate_the_file_keep_all_records(
    open_lmdb: Open, folder: Path
) -> None:
    open_lmdb(sync="normal").close()
    command = [sys.executable, "-c", WRITE, str(folder)]
    others = [subprocess.Popen([*command, name]) for name in ("one", "two")]
    in_new_process(WRITE, folder, "three")
    assert [other.wait() for other in others] == [0, 0]
    assert length(folder) == used(folder)
    stored = content(open_lmdb(sync="normal"))
    assert len(stored) == 300
    assert all(value == key * 300 for key, value in stored.items())


@pytest.mark.parametrize("joined", [True, False])
def test_file_truncated_by_another_process_while_a_store_is_opened(
    open_lmdb: Open, folder: Path, monkeypatch: pytest.MonkeyPatch, joined: bool
) -> None:
    """The store opens at the first attempt to join or at the second."""
    open_lmdb(sync="normal").close()
    in_use = length(folder)
    os.truncate(folder / "data.mdb", in_use + 100_000)
    join = ProcessLocks.join
    attempts: list[ProcessLocks] = []

    def truncate_and_join(locks: ProcessLocks) -> bool:
        attempts.append(locks)
        if len(attempts) == 1:
            os.truncate(folder / "data.mdb", in_use)
        return (joined or len(attempts) > 1) and join(locks)

    monkeypatch.setattr(ProcessLocks, "join", truncate_and_join)
    store = open_lmdb(sync="normal")
    assert content(store) == {}
    store.write(put(b"k"))
    assert len(attempts) == (1 if joined else 2)


def test_readonly_leaves_the_length_of_the_file(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb(sync="full")
    fill(store, 10)
    store.close()
    with (folder / "data.mdb").open("ab") as file:
        file.write(bytes(100_000))
    before = length(folder)
    store = open_lmdb(readonly=True)
    assert len(content(store)) == 10
    store.close()
    assert length(folder) == before


def test_nearly_full_disk_is_logged_once(
    open_lmdb: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [2 << 30]
    disk = types.SimpleNamespace(f_frsize=4096, f_blocks=(100 << 30) // 4096)
    monkeypatch.setattr(
        os, "fstatvfs", lambda handle: types.SimpleNamespace(f_bavail=left[0] // 4096, **vars(disk))
    )
    store = open_lmdb(sync="normal")
    fill(store, 50, 30_000)
    assert caplog.records == []
    left[0] = 1000 << 20
    fill(store, 100, 30_000)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("langgraph.checkpoint.lmdb", "WARNING")
    assert f"{1000 << 20} bytes" in record.getMessage()
    assert store._folder in record.getMessage()
    caplog.clear()
    store.close()
    disk.f_blocks = (10 << 30) // 4096
    fill(open_lmdb(sync="normal"), 100, 30_000)
    assert caplog.records == []  # a tenth of this disk is left
