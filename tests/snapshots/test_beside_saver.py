"""Snapshots and checkpoints in one folder: apart for their users, together for the store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    InvalidPathError,
    MissingKeyError,
    ReadOnlyError,
    WrongKeyError,
)
from langgraph.checkpoint.lmdb.format.keys import Kind
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.snapshots import LmdbSnapshotStore
from langgraph.checkpoint.lmdb.verification import kinds
from tests.format import reader
from tests.format.decryption import decrypted
from tests.saver.values import checkpoint, config
from tests.snapshots.stores import growing, snapshot

KEY, OTHER = bytes(range(32)), bytes(32)


def put(saver: LmdbSaver, thread_id: str) -> None:
    saver.put(config(thread_id, ""), checkpoint("1", 1, thread_id * 1000), {}, {"x": 1})


def fill(path: Path, **options: Any) -> None:
    """Store two threads and two tasks, one of which has the id of a thread."""
    with LmdbSaver(path, **options) as saver, LmdbSnapshotStore(saver) as store:
        for version in range(1, 8):
            for name in ("both", "task"):
                store.save(snapshot(version, growing(version), name))
        for name in ("both", "thread"):
            put(saver, name)


def check(path: Path, **options: Any) -> None:
    """Assert that a store has what `fill` stored, and no problem."""
    with LmdbSaver(path, **options) as saver, LmdbSnapshotStore(saver) as store:
        assert {info.thread_id for info in saver.threads()} == {"both", "thread"}
        for name in ("both", "task"):
            assert store.list_versions(name) == [*range(1, 8)]
            for version in range(1, 8):
                assert store.get(name, version) == snapshot(version, growing(version), name)
        for name in ("both", "thread"):
            found = saver.get_tuple(config(name))
            assert found is not None
            assert found.checkpoint["channel_values"] == {"x": name * 1000}
        report = saver.verify()
        assert report.ok, report.problems
        assert (report.checked["tasks"], report.checked["snapshots"]) == (2, 14)
        assert (report.checked["threads"], report.checked["checkpoints"]) == (2, 2)


def test_saver_and_snapshot_store_do_not_see_one_another(path: Path) -> None:
    fill(path, sync="off")
    check(path, sync="off")
    with LmdbSaver(path, sync="off") as saver, LmdbSnapshotStore(path, sync="off") as store:
        assert saver.stats().threads == 2
        assert [found.config["configurable"]["thread_id"] for found in saver.list(None)]
        assert len(list(saver.list(None))) == 2
        assert saver.get_tuple(config("task")) is None
        assert store.get("thread") is None
        saver.delete_thread("both")
        saver.delete_thread("task")
        saver.prune(["task", "both"], strategy="delete")
        assert store.list_versions("both") == store.list_versions("task") == [*range(1, 8)]
        put(saver, "both")
        assert store.delete("both")
        assert not store.delete("thread")
        assert saver.get_tuple(config("both")) is not None
        assert saver.verify().ok


@pytest.mark.parametrize("first", [LmdbSaver, LmdbSnapshotStore])
def test_either_store_may_be_opened_first(path: Path, first: type[Any]) -> None:
    first(path, sync="off").close()
    fill(path, sync="off")
    check(path, sync="off")


def test_sweep_of_one_store_leaves_the_other(path: Path) -> None:
    now = [1_000_000.0]
    hour = {"default_ttl": 60.0}
    with (
        LmdbSaver(path, sync="off", ttl=hour, clock=lambda: now[0]) as saver,
        LmdbSnapshotStore(saver, clock=lambda: now[0]) as forever,
    ):
        put(saver, "thread")
        forever.save(snapshot())
        now[0] += 3601
        assert saver.sweep().threads == 1
        assert forever.sweep().threads == 0
        assert forever.get("task") == snapshot()
    with (
        LmdbSaver(path, sync="off", clock=lambda: now[0]) as saver,
        LmdbSnapshotStore(saver, ttl=hour, clock=lambda: now[0]) as store,
    ):
        put(saver, "thread")
        assert store.get("task") is None
        assert not store.delete("task", 1)
        store.save(snapshot(1, task_id="later"))
        assert store.sweep(dry_run=True).threads == 1
        report = store.sweep()
        assert (report.threads, report.checkpoints) == (1, 1)
        assert store.get("later") is not None
        assert saver.get_tuple(config("thread")) is not None
        assert saver.verify().ok


def test_expired_task_begins_again(path: Path) -> None:
    now = [1_000_000.0]
    with LmdbSnapshotStore(
        path, sync="off", ttl={"default_ttl": 60.0}, clock=lambda: now[0]
    ) as store:
        store.save(snapshot(5))
        now[0] += 3601
        store.save(snapshot(2))
        assert store.list_versions("task") == [2]


def test_policy_keeps_the_last_versions(path: Path) -> None:
    with LmdbSnapshotStore(path, sync="off", ttl={"keep_last": 2}) as store:
        for version in (1, 2, 3, 4):
            store.save(snapshot(version, growing(version)))
        store.sweep()
        assert store.list_versions("task") == [3, 4]
        assert store.get("task").data == growing(4)


def test_background_sweep_of_snapshots_leaves_threads(path: Path) -> None:
    now = [1_000_000.0]
    policy = {"default_ttl": 60.0, "sweep_interval_minutes": 0.0005}
    with LmdbSaver(path, sync="off", clock=lambda: now[0]) as saver:
        put(saver, "thread")
        with LmdbSnapshotStore(saver, clock=lambda: now[0]) as store:
            store.save(snapshot())
        now[0] += 3601
        with LmdbSnapshotStore(saver, ttl=policy, clock=lambda: now[0]) as store:
            while saver.verify().checked.get("tasks"):
                now[0] += 1
            assert store.list_versions("task") == []
        assert saver.get_tuple(config("thread")) is not None


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_backup_compact_and_copies_cover_snapshots(
    path: Path, tmp_path: Path, key: bytes | None
) -> None:
    fill(path, sync="off", encryption_key=key)
    with LmdbSaver(path, sync="off", encryption_key=key) as saver:
        saver.backup(tmp_path / "backup")
        saver.copy_store(tmp_path / "copy", encryption_key=OTHER)
        saver.compact()
    check(path, sync="off", encryption_key=key)
    check(tmp_path / "backup", sync="off", encryption_key=key)
    check(tmp_path / "copy", sync="off", encryption_key=OTHER)


def test_encrypted_store_shows_nothing_of_a_snapshot(path: Path) -> None:
    with LmdbSnapshotStore(path, sync="off", encryption_key=KEY, compression=None) as store:
        store.save(snapshot(1, {"secret": "confidential" * 500}, "a confidential task"))
    stored = (path / "data.mdb").read_bytes()
    assert b"confidential" not in stored
    assert b"secret" not in stored
    with pytest.raises(WrongKeyError):
        LmdbSnapshotStore(path, encryption_key=OTHER)
    with pytest.raises(MissingKeyError):
        LmdbSnapshotStore(path)


def test_rotation_covers_snapshots(path: Path) -> None:
    fill(path, sync="off", encryption_key=KEY)
    with LmdbSaver(path, sync="off", encryption_key=KEY) as saver:
        saver.rotate_key(OTHER)
    check(path, sync="off", encryption_key=OTHER)
    with pytest.raises(WrongKeyError):
        LmdbSnapshotStore(path, encryption_key=KEY)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_independent_reader_reads_snapshots(path: Path, key: bytes | None) -> None:
    fill(path, sync="off", encryption_key=key)
    found = reader.read(path, None if key is None else lambda records: decrypted(records, key))
    assert found["threads"].keys() == {"both", "thread"}
    assert found["tasks"].keys() == {"both", "task"}
    for name, versions in found["tasks"].items():
        assert versions == {
            version: {
                "id": f"{name}-{version}",
                "checkpoint": False,
                "created_at": snapshot().created_at.isoformat(),
                "data": growing(version),
            }
            for version in range(1, 8)
        }


def test_readonly_store_reads_and_refuses_to_write(path: Path) -> None:
    fill(path, sync="off")
    with LmdbSnapshotStore(path, readonly=True) as store:
        assert store.get("task").version == 7
        assert store.sweep().threads == 0
        for write in (lambda: store.save(snapshot()), lambda: store.delete("task")):
            with pytest.raises(ReadOnlyError):
                write()


def test_readonly_store_without_snapshots_is_empty(path: Path) -> None:
    LmdbSaver(path, sync="off").close()
    with LmdbSnapshotStore(path, readonly=True) as store:
        assert store.get("task") is None
        assert store.list_versions("task") == []
    with pytest.raises(InvalidPathError):
        LmdbSnapshotStore(path / "missing", readonly=True)


def damage(path: Path, kind: bytes, at: int = -1) -> bytes:
    """Change a byte of one record of the snapshot store; return the key of the record."""
    kv = LmdbStore.open(path, sync="off")

    def change(writer: Any) -> bytes:
        rows = [
            (key, value)
            for key, value in writer.range(Kind.SNAPSHOTS, b"t")
            if key[1:2] == Kind.THREAD and key[3:4] == kind
        ]
        key, value = rows[at]
        writer.put(key, value[:-1] + bytes([value[-1] ^ 1]))
        return bytes(key)

    key = kv.write(change)
    kv.close()
    return key


def test_damaged_version_is_named_and_repaired(path: Path) -> None:
    fill(path, sync="off")
    key = damage(path, Kind.CHECKPOINT)
    with LmdbSaver(path, sync="off") as saver, LmdbSnapshotStore(saver) as store:
        with pytest.raises(DamagedError) as caught:
            store.get("task", 7)
        assert (caught.value.task_id, caught.value.version) == ("task", 7)
        assert caught.value.thread_id is None
        assert store.get("task", 6).data == growing(6)
        (problem,) = [p for p in saver.verify().problems if p.kind == kinds.DAMAGED]
        assert problem.record == key.hex()
        assert (problem.task_id, problem.version, problem.thread_id) == ("task", 7, None)
        assert "task_id 'task', version 7" in str(problem)
        repaired = saver.verify(repair=True)
        assert repaired.ok
        assert [(p.task_id, p.version) for p in repaired.lost] == [("task", 7)]
        assert repaired.quarantine is not None
        assert key.hex() in Path(repaired.quarantine).read_text()
        assert store.list_versions("task") == [*range(1, 7)]
        assert store.get("task").data == growing(6)
        assert store.get("both").data == growing(7)
        assert {info.thread_id for info in saver.threads()} == {"both", "thread"}


def test_damaged_data_of_a_version_are_named(path: Path) -> None:
    fill(path, sync="off")
    damage(path, Kind.CHUNK)
    with LmdbSaver(path, sync="off") as saver, LmdbSnapshotStore(saver) as store:
        with pytest.raises(DamagedError) as caught:
            store.get("task")
        assert (caught.value.task_id, caught.value.version) == ("task", 7)
        assert not saver.verify().ok
        assert store.delete("task")
        assert saver.verify().ok
        assert store.get("both").data == growing(7)


def test_recover_pages_keeps_snapshots(path: Path, tmp_path: Path) -> None:
    fill(path, sync="off")
    command = [sys.executable, "-m", "langgraph.checkpoint.lmdb", "recover-pages", str(path)]
    command.append(str(tmp_path / "copy"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 snapshots" in done.stdout
    check(tmp_path / "copy", sync="off")
