"""Opening, closing, copying and forking a store with a log."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    ReadOnlyError,
    StoreClosedError,
    StoreIOError,
    StoreReplacedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore
from langgraph.checkpoint.lmdb.kv.log import counters, log_file, records
from langgraph.checkpoint.lmdb.kv.log import store as log_store
from langgraph.checkpoint.lmdb.kv.log.state import LogState
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from tests.kv.log.ends import end_process
from tests.kv.log.images import contents
from tests.kv.processes import in_thread

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.lmdb.kv import KeyValueStore


def put(store: KeyValueStore, *keys: bytes) -> None:
    for key in keys:
        store.write(lambda writer, key=key: writer.put(key, b"value"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def in_process(code: str, folder: Path) -> None:
    """Run code in another process, which has `LogStore` and `path`."""
    head = "import sys; from langgraph.checkpoint.lmdb.kv.log.store import LogStore; "
    subprocess.run([sys.executable, "-c", f"{head}path = sys.argv[1]; {code}", folder], check=True)


def test_a_closed_store_is_one_file_that_lmdb_alone_opens(folder: Path) -> None:
    with closing(LogStore.open(folder)) as store:
        put(store, b"a", b"b", b"c")
        assert log_file.NAME in names(folder)
    assert names(folder) == {"data.mdb", "lock.mdb"}
    with closing(LogStore.open(folder)) as store:
        assert contents(store).keys() == {b"a", b"b", b"c"}
        assert names(folder) == {"data.mdb", "lock.mdb", counters.NAME}


def test_a_process_that_closes_leaves_the_log_to_the_others(folder: Path) -> None:
    with closing(LogStore.open(folder)) as store:
        put(store, b"a", b"b")
        in_process(
            "s = LogStore.open(path); s.write(lambda w: w.put(b'c', b'value')); s.close()", folder
        )
        assert log_file.NAME in names(folder)
        put(store, b"d", b"e")
        assert contents(store).keys() == {b"a", b"b", b"c", b"d", b"e"}


def test_a_store_that_was_not_closed_is_whole(folder: Path) -> None:
    store = LogStore.open(folder)
    put(store, b"a", b"b", b"c")
    end_process(store)
    with closing(LogStore.open(folder)) as store:
        assert contents(store).keys() == {b"a", b"b", b"c"}


def test_a_store_for_reading_sees_what_others_have_in_the_log(folder: Path) -> None:
    with closing(LogStore.open(folder)) as store:
        put(store, b"a")
        in_process(
            "s = LogStore.open(path, readonly=True)\n"
            "with s.read() as reader: assert reader.get(b'a') == b'value'\n",
            folder,
        )
    with closing(LogStore.open(folder, readonly=True)) as reading:
        assert contents(reading).keys() == {b"a"}
        with pytest.raises(ReadOnlyError):
            put(reading, b"x")
        for key in (b"b", b"c"):
            in_process(
                f"s = LogStore.open(path); s.write(lambda w: w.put(b'0', b''));"
                f"s.write(lambda w: w.put({key!r}, b'value')); import os; os._exit(0)",
                folder,
            )
            assert key in contents(reading)
    assert names(folder) > {log_file.NAME}


def test_a_missing_log_is_an_error(folder: Path) -> None:
    store = LogStore.open(folder)
    put(store, b"a", b"b")
    end_process(store)
    (folder / log_file.NAME).unlink()
    with pytest.raises(DamagedError, match="is missing"):
        LogStore.open(folder)


@pytest.mark.parametrize("name", [log_file.NAME, counters.NAME])
def test_a_removed_file_is_an_error(folder: Path, name: str) -> None:
    with closing(LogStore.open(folder)) as store:
        put(store, b"a", b"b")
        held = (folder / name).rename(folder / "held")
        with pytest.raises(StoreReplacedError, match=name):
            put(store, b"c")
        held.rename(folder / name)
        put(store, b"d")
        assert contents(store).keys() == {b"a", b"b", b"d"}


def test_a_backup_is_whole_without_a_log(folder: Path, tmp_path: Path) -> None:
    with closing(LogStore.open(folder)) as store:
        put(store, b"a", b"b")
        during: list[int] = []

        def progress(done: int, total: int) -> None:
            if not during:
                in_thread(lambda: put(store, b"during"))
            during.append(done)

        store.backup(tmp_path / "copy", progress)
        put(store, b"c")
        assert during
        assert contents(store).keys() == {b"a", b"b", b"c", b"during"}
    assert names(tmp_path / "copy") == {"data.mdb"}
    with closing(LogStore.open(tmp_path / "copy")) as copy:
        assert contents(copy).keys() == {b"a", b"b"}
        put(copy, b"x", b"y")


def test_a_child_and_its_parent_share_the_log(folder: Path) -> None:
    with closing(LogStore.open(folder, sync="off")) as store:
        put(store, b"a", b"b")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                assert contents(store).keys() >= {b"a", b"b"}
                put(store, b"child 1", b"child 2")
                code = 0
            finally:
                os._exit(code)
        put(store, b"parent 1", b"parent 2")
        assert os.waitpid(child, 0)[1] == 0
        expected = {b"a", b"b", b"child 1", b"child 2", b"parent 1", b"parent 2"}
        assert contents(store).keys() == expected


def test_a_merge_is_due_after_some_thousand_keys(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_store, "_MAX_KEYS", 40)
    merges: list[int] = []
    write = LmdbStore.write
    monkeypatch.setattr(
        LmdbStore, "write", lambda base, apply: (merges.append(1), write(base, apply))[1]
    )
    with closing(LogStore.open(folder, sync="off")) as store:
        put(store, *(b"%d" % number for number in range(200)))
        assert len(merges) == 5
        assert len(contents(store)) == 200


def test_a_batch_of_many_keys_is_merged_by_its_own_commit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_store, "_MAX_KEYS", 40)
    with closing(LogStore.open(folder, sync="off")) as store:
        put(store, b"a", b"b")
        store.write(lambda writer: [writer.put(b"%d" % n, b"value") for n in range(100)])
        monkeypatch.setattr(LmdbStore, "write", None)
        put(store, b"c")
        assert len(contents(store)) == 103
        monkeypatch.undo()


def test_stores_of_a_process_on_one_folder_have_one_sync(folder: Path) -> None:
    with closing(LogStore.open(folder, sync="full")) as store:
        with pytest.raises(UsageError, match="sync='full', not 'normal'"):
            LogStore.open(folder, sync="normal")
        with pytest.raises(UsageError, match="sync='full', not 'off'"):
            LogStore.open(folder, sync="off")
        with closing(LogStore.open(folder, sync="full")) as other:
            put(other, b"a")
        put(store, b"b", b"c")
    with closing(LogStore.open(folder, sync="normal")) as store:
        assert contents(store).keys() == {b"a", b"b", b"c"}
        with pytest.raises(UsageError, match="sync='normal', not 'off'"):
            LogStore.open(folder, sync="off")


def test_a_store_that_reads_does_not_show_writers_what_is_not_durable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store for reading adopts each whole record. A record of a failed flush must be excluded."""
    with (
        closing(LogStore.open(folder)) as store,
        closing(LogStore.open(folder, readonly=True)) as reading,
    ):
        put(store, b"a", b"b")
        contents(reading)

        def fail(file: log_file.LogFile) -> None:
            contents(reading)
            raise OSError(errno.EIO, "the disk failed")

        with monkeypatch.context() as patch:
            patch.setattr(log_file.LogFile, "flush", fail)
            with pytest.raises(StoreIOError):
                put(store, b"failed")
        assert contents(store).keys() == {b"a", b"b"}
        put(store, b"c")
        assert contents(store).keys() == contents(reading).keys() == {b"a", b"b", b"c"}


def test_closing_keeps_the_log_if_it_cannot_be_merged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LogStore.open(folder)
    put(store, b"a", b"b", b"c")

    def fail(base: LmdbStore, apply: object) -> None:
        raise StoreIOError("the disk failed", path=base.folder)

    with monkeypatch.context() as patch:
        patch.setattr(LmdbStore, "write", fail)
        store.close()
    with pytest.raises(StoreClosedError):
        put(store, b"d")
    assert log_file.NAME in names(folder)
    with closing(LogStore.open(folder)) as store:
        assert contents(store).keys() == {b"a", b"b", b"c"}


def test_an_idle_store_takes_at_most_2_mb_and_a_closed_one_no_log(folder: Path) -> None:
    with closing(LogStore.open(folder)) as store:
        put(store, b"a", b"b")
        assert store.size() <= 2 << 20
        assert sum(path.stat().st_blocks * 512 for path in folder.iterdir()) <= 2 << 20
    with closing(LmdbStore.open(folder)) as base:
        assert base.size() <= 1 << 20


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\xc0",
        b"\x90",
        b"\x81\xa1k\xc4\x01v",
        b"\x81\xc4\x01k\x01",
        b"\x81\xc4\x00\xc0",
    ],
)
def test_a_record_with_a_valid_checksum_and_another_payload_is_damage(payload: bytes) -> None:
    position = records.start(LogState(applied=3, epoch=2, size=1000))
    head = records._HEAD.pack(2, 4, len(payload))
    header = head + records._CHECKSUM.pack(records._checksum(position, head, payload))
    assert records.payload_length(position, header) == len(payload)
    with pytest.raises(DamagedError, match="a record of the log is damaged"):
        records.decode(position, header, payload)


def test_a_record_longer_than_the_log_is_not_read(folder: Path) -> None:
    store = LogStore.open(folder)
    put(store, b"a", b"b")
    state = store._log._epoch
    assert state is not None
    position = state.position
    end_process(store)
    with (folder / log_file.NAME).open("r+b") as file:
        file.seek(position.offset)
        file.write(records._HEAD.pack(position.epoch, position.number + 1, (1 << 32) - 1))
    with closing(LogStore.open(folder)) as store:
        assert contents(store).keys() == {b"a", b"b"}


def test_a_system_that_writes_nothing_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(LogStore.open(folder)) as store:
        put(store, b"a", b"b")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", lambda *arguments: 0)
            with pytest.raises(StoreIOError):
                put(store, b"c")
        put(store, b"d")
        assert contents(store).keys() == {b"a", b"b", b"d"}


def test_a_batch_larger_than_the_log_is_stored(folder: Path) -> None:
    value = bytes(3 * log_file.SIZE)
    with closing(LogStore.open(folder)) as store:
        put(store, b"a", b"b")
        store.write(lambda writer: writer.put(b"large", value))
        put(store, b"c")
        found = contents(store)
    assert found == {b"a": b"value", b"b": b"value", b"c": b"value", b"large": value}


def test_a_commit_is_one_write_and_one_flush(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    with closing(LogStore.open(folder)) as store:
        put(store, b"a", b"b")
        for name in ("pwrite", "fdatasync", "fsync"):
            call = getattr(os, name)
            monkeypatch.setattr(
                os, name, lambda *given, name=name, call=call: (calls.append(name), call(*given))[1]
            )
        monkeypatch.setattr(LmdbStore, "write", None)
        put(store, b"c")
        assert calls == ["pwrite", "fdatasync"]
        monkeypatch.undo()


def test_the_record_of_the_log_is_hidden(folder: Path) -> None:
    with closing(LogStore.open(folder)) as store:
        put(store, b"a", b"b")
        with store.read() as reader:
            assert reader.get(b"\x00log") is None
            assert [*reader.keys(b"", b"\xff")] == [b"a", b"b"]
        removed = store.write(lambda writer: writer.delete_range(b"", b"\xff" * 512))
        assert removed == 2
        put(store, b"c")
    with closing(LogStore.open(folder)) as store:
        assert contents(store).keys() == {b"c"}
