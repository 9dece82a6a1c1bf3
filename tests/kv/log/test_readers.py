"""Readers beside writers that open and close, and what readers and writers find damaged."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.lmdb import environment
from langgraph.checkpoint.lmdb.kv.log import counters, log_file
from langgraph.checkpoint.lmdb.kv.log.process_log import ProcessLog
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from tests.kv.log.ends import end_process
from tests.kv.log.images import contents
from tests.kv.processes import drop_privileges, in_fork, in_thread

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.lmdb.kv.log.epoch import Epoch
    from langgraph.checkpoint.lmdb.kv.log.log_file import LogFile


def put(store: LogStore, *keys: bytes) -> None:
    for key in keys:
        store.write(lambda writer, key=key: writer.put(key, b"value"))


def killed(folder: Path, *keys: bytes) -> None:
    """Leave a store whose process was killed."""
    store = LogStore.open(folder)
    put(store, *keys)
    end_process(store)


def test_reader_sees_a_store_whose_log_is_removed_while_it_looks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = LogStore.open(folder)
    put(writing, b"a", b"b")
    current_log = ProcessLog.current_log

    def closed_before(log: ProcessLog, epoch: Epoch) -> LogFile:
        in_thread(writing.close)
        return current_log(log, epoch)

    with closing(LogStore.open(folder, readonly=True)) as reading:
        monkeypatch.setattr(ProcessLog, "current_log", closed_before)
        assert contents(reading).keys() == {b"a", b"b"}


def test_readers_see_a_store_that_other_processes_open_and_close(folder: Path) -> None:
    code = """
import sys
from langgraph.checkpoint.lmdb.kv.log import log_file
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
log_file.SIZE = 4096
for number in range(60):
    store = LogStore.open(sys.argv[1], sync="off")
    for part in range(number % 7):
        value = b"%03d.%d" % (number, part)
        store.write(lambda writer: (writer.put(b"a", value), writer.put(b"b", value)))
    store.close()
"""
    with closing(LogStore.open(folder, sync="off")) as store:
        put(store, b"a", b"b")
    before = b""
    with (
        subprocess.Popen([sys.executable, "-c", code, folder]) as process,
        closing(LogStore.open(folder, readonly=True)) as reading,
    ):
        while process.poll() is None:
            found = contents(reading)
            assert found[b"a"] == found[b"b"]
            if found[b"a"] != b"value":
                assert found[b"a"] >= before
                before = found[b"a"]
    assert process.returncode == 0
    assert before > b""


def test_reader_reports_a_missing_log(folder: Path) -> None:
    killed(folder, b"a", b"b")
    (folder / log_file.NAME).unlink()
    with (
        closing(LogStore.open(folder, readonly=True)) as reading,
        pytest.raises(DamagedError, match=r"log\.mdb is missing"),
    ):
        contents(reading)


def test_log_is_read_by_a_user_who_may_write_nothing(folder: Path) -> None:
    killed(folder, b"a", b"b", b"c")
    folder.chmod(0o555)
    for path in folder.iterdir():
        path.chmod(0o444)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def body() -> None:
        drop_privileges(folder.parent)
        with closing(LogStore.open(folder, readonly=True)) as reading:
            assert contents(reading).keys() == {b"a", b"b", b"c"}

    in_fork(body)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_damaged_record_is_reported_and_the_process_that_has_read_it_stores_it(
    folder: Path,
) -> None:
    code = """
import sys
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
store = LogStore.open(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
def read():
    with store.read() as reader:
        reader.get(b"a")
for call in (read, lambda: store.write(lambda writer: writer.put(b"x", b""))):
    try:
        call()
        print("no error", flush=True)
    except DamagedError as error:
        print(error.record, flush=True)
store.close()
"""
    with closing(LogStore.open(folder)) as store:
        put(store, b"a", b"b")
        with subprocess.Popen(
            [sys.executable, "-c", code, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as other:
            assert other.stdout is not None
            assert other.stdin is not None
            assert other.stdout.readline() == "open\n"
            put(store, b"c", b"d")
            with (folder / log_file.NAME).open("r+b") as file:
                data = file.read(4096).rstrip(b"\x00")
                file.seek(len(data) - 1)
                file.write(b"?")
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.read() == "log.mdb\nlog.mdb\n"
        assert other.returncode == 0
        put(store, b"e")
    with closing(LogStore.open(folder)) as store:
        assert contents(store).keys() == {b"a", b"b", b"c", b"d", b"e"}


def test_record_is_not_hidden_by_counters_of_before_a_power_failure(folder: Path) -> None:
    """The file of the counters is never flushed: after a power failure it may have any values."""
    killed(folder, b"a", b"b", b"c")
    with closing(LogStore.open(folder, readonly=True)) as reading, reading.read():
        epoch = reading._log._epoch
        assert epoch is not None
        state = epoch.state
    for unfinished in (0, 1):
        words = (99, unfinished, state.epoch, state.applied + 2)
        stale = b"".join(word.to_bytes(8, sys.byteorder) for word in words)
        (folder / counters.NAME).write_bytes(stale.ljust(4096, b"\x00"))
        with closing(LogStore.open(folder)) as store:
            put(store, b"d", b"e")
            end_process(store)
        with closing(LogStore.open(folder)) as store:
            found = contents(store)
            assert found.keys() >= {b"a", b"d", b"e"}
            assert unfinished or found.keys() == {b"a", b"b", b"c", b"d", b"e"}
            put(store, b"f")
            assert contents(store).keys() == found.keys() | {b"f"}
            store.merge()
            put(store, *found)
            end_process(store)


def test_what_another_process_left_unfinished_is_merged_after_both_meta_pages_are_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten: list[int] = []
    rewrite = environment.rewrite_meta_pages
    with closing(LogStore.open(folder)) as store:
        put(store, b"a", b"b")
        monkeypatch.setattr(
            environment,
            "rewrite_meta_pages",
            lambda *given: (rewritten.append(1), rewrite(*given))[1],
        )
        store.merge()
        assert not rewritten
        store._log.counters().unfinished = True
        put(store, b"c")
        assert rewritten == [1]
        assert contents(store).keys() == {b"a", b"b", b"c"}
