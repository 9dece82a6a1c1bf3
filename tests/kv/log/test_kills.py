"""Processes that share a store with a log lose nothing when some of them are killed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.kv.log.store import LogStore

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

_CODE = """
import sys, threading
from langgraph.checkpoint.lmdb.kv.log import log_file
from langgraph.checkpoint.lmdb.kv.log.store import LogStore

path, name, sync = sys.argv[1:4]
log_file.SIZE = 16_384
store = LogStore.open(path, sync=sync)
lock = threading.Lock()

def run(thread):
    own = f"{name}.{thread}".encode()
    with store.read() as reader:
        count = int(reader.get(own) or b"0")
    while True:
        count += 1
        def apply(writer):
            total = int(writer.get(b"total") or b"0") + 1
            assert int(writer.get(own) or b"0") == count - 1
            writer.put(b"total", b"%d" % total)
            writer.put(own, b"%d" % count)
            writer.put(b"item %s %08d" % (own, count), bytes(count % 700))
            if count > 20:
                writer.delete(b"item %s %08d" % (own, count - 20))
        store.write(apply)
        with lock:
            print(own.decode(), count, flush=True)
        with store.read() as reader:
            assert int(reader.get(own)) == count
            total = int(reader.get(b"total"))
            counts = [int(value) for key, value in reader.range(b"process", b"procest")]
            assert sum(counts) == total, (counts, total)

threads = [threading.Thread(target=run, args=(n,)) for n in range(2)]
for thread in threads:
    thread.start()
"""


_KEEPER = """
import shutil, sys
from langgraph.checkpoint.lmdb.kv.log import log_file
from langgraph.checkpoint.lmdb.kv.log.store import LogStore

path, name, sync = sys.argv[1:4]
log_file.SIZE = 16_384

def check(store):
    with store.read() as reader:
        total = int(reader.get(b"total") or b"0")
        counts = [int(value) for key, value in reader.range(b"process", b"procest")]
        assert sum(counts) == total, (counts, total)

turn = 0
while True:
    turn += 1
    store = LogStore.open(path, sync=sync)
    for step in (store.merge, store.compact):
        step()
        check(store)
    copy = f"{path}.{name}"
    shutil.rmtree(copy, ignore_errors=True)
    store.backup(copy)
    store.close()
    for path_to_read in (copy, path):
        reading = LogStore.open(path_to_read, readonly=True)
        check(reading)
        reading.close()
    print(name, turn, flush=True)
"""


class Killed:
    """A process that works until it is killed: it commits, or it merges, compacts and backs up."""

    def __init__(self, folder: Path, number: int, sync: str, *, keeps: bool = False) -> None:
        name = f"keeper{number}" if keeps else f"process{number}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _KEEPER if keeps else _CODE, str(folder), name, sync],
            stdout=subprocess.PIPE,
            text=True,
        )

    def lines(self, count: int) -> list[str]:
        """Return the next acknowledged commits."""
        assert self._process.stdout is not None
        lines = [self._process.stdout.readline() for _ in range(count)]
        assert all(lines), "the process has ended"
        return lines

    def kill(self) -> list[str]:
        """Kill it where it is; return the rest of its acknowledged commits."""
        assert self._process.stdout is not None
        self._process.kill()
        rest = self._process.stdout.readlines()
        self._process.wait()
        self._process.stdout.close()
        return [line for line in rest if line.endswith("\n")]


def run(folder: Path, rounds: int, sync: str, *, keepers: int = 0) -> None:
    """Let three processes commit, and others keep the store; kill one of them in each round."""
    chance = Random(1)
    acknowledged: dict[str, int] = {}
    kills: Counter[str] = Counter()  # of each thread since its last acknowledged commit

    def note(lines: list[str]) -> None:
        for line in lines:
            name, count = line.split()
            acknowledged[name] = max(acknowledged.get(name, 0), int(count))
            kills[name] = 0

    def kill(number: int) -> None:
        note(running[number].kill())
        kills.update(f"process{number}.{thread}" for thread in range(2))

    running = {number: Killed(folder, number, sync) for number in range(3)}
    kept = [Killed(folder, number, sync, keeps=True) for number in range(keepers)]
    for turn in range(rounds):
        number = chance.randrange(3)
        note(running[number].lines(chance.randrange(1, 120)))
        kill(number)
        running[number] = Killed(folder, number, sync)
        if keepers:
            number = turn % keepers
            kept[number].lines(1 + turn % 2)
            kept[number].kill()
            kept[number] = Killed(folder, number, sync, keeps=True)
    for number, process in running.items():
        note(process.lines(1))
        kill(number)
    for process in kept:
        process.lines(1)
        process.kill()
    with closing(LogStore.open(folder)) as store, store.read() as reader:
        found = {k.decode(): int(v) for k, v in reader.range(b"process", b"procest")}
        total = int(reader.get(b"total") or b"0")
        items = [*reader.keys(b"item", b"iten")]
    assert found.keys() >= acknowledged.keys()
    for name, count in found.items():
        # Each kill may come between a commit and its acknowledgement.
        assert acknowledged.get(name, 0) <= count <= acknowledged.get(name, 0) + kills[name]
        own = [key for key in items if key.startswith(f"item {name} ".encode())]
        expected = range(max(1, count - 19), count + 1)
        assert own == [b"item %s %08d" % (name.encode(), one) for one in expected]
    assert total == sum(found.values())


@pytest.mark.parametrize("sync", ["full", "off"])
def test_kills_lose_nothing(tmp_path: Path, sync: str) -> None:
    run(tmp_path / "store", 6, sync)


def test_kills_lose_nothing_beside_merges_compaction_and_backups(tmp_path: Path) -> None:
    run(tmp_path / "store", 4, "off", keepers=2)


@pytest.mark.long
def test_many_kills_lose_nothing_beside_merges_compaction_and_backups(tmp_path: Path) -> None:
    run(tmp_path / "store", 100, "full", keepers=2)


@pytest.mark.long
def test_many_kills_lose_nothing(tmp_path: Path) -> None:
    run(tmp_path / "store", 200, "off")
