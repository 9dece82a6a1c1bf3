"""Verification on a saver and from the command line."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.lmdb import page_check
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.cli.fork_server import run_forked
from tests.contract import driver
from tests.engine import reachability, stores
from tests.kv.log.ends import end_process
from tests.reliability.checking import content
from tests.reliability.disk_model import PAGE, SECTOR
from tests.saver.values import checkpoint, config


def filled(path: Path) -> Path:
    """Fill a store with records of every kind; return its path."""
    kv = LmdbStore.open(path, sync="off")
    stores.fill(kv)
    kv.close()
    return path


def damage(path: Path) -> None:
    """Flip a bit in the record of one checkpoint."""
    key = keys.checkpoint(keys.NamespaceRef(1, 0), "0003")
    kv = LmdbStore.open(path, sync="off")

    def flip(writer: Any) -> None:
        value = writer.get(key)
        writer.put(key, value[:-1] + bytes((value[-1] ^ 1,)))

    kv.write(flip)
    kv.close()


def records_of(saver: LmdbSaver) -> dict[bytes, bytes]:
    """Return all records of a store."""
    with saver._kv.read() as reader:
        return dict(reader.range(b"", b"\xff" * 512))


def run(
    *arguments: str, command: str = "verify", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the package in a process of its own."""
    return run_forked([command, *arguments], {**os.environ, **environment})


def test_saver_verifies_and_repairs_its_store(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    damage(tmp_path / "store")
    with LmdbSaver(tmp_path / "store") as saver:
        assert not saver.verify().ok
        assert not asyncio.run(saver.averify()).ok
        found = asyncio.run(saver.averify(repair=True))
        assert found.ok
        lost = {(p.thread_id, p.checkpoint_id) for p in found.lost if p.kind == "lost_checkpoint"}
        assert lost == {("a", "0003"), ("copy", "0003")}
        assert saver.verify().problems == ()
        assert saver.get_tuple(stores.config("a", "", "0003")) is None
        assert saver.get_tuple(stores.config("a", "", "0004")) is not None


def test_cached_values_are_not_used_after_a_repair(tmp_path: Path) -> None:
    """A cached value could name chunks that the repair has deleted."""
    with LmdbSaver(tmp_path / "store") as saver:
        stores.grow(saver, "a", 1, 4)
        before = saver.get_tuple(stores.config("a", "", "0003"))
        assert before is not None
        damage_of = keys.checkpoint(keys.NamespaceRef(1, 0), "0003")
        saver._kv.write(lambda writer: writer.put(damage_of, b"\x00" * 20))
        assert saver.verify(repair=True).ok
        at = stores.put(saver, before.config, "0009", dict(before.checkpoint["channel_values"]))
        assert saver.verify().ok
        found = saver.get_tuple(at)
        assert found is not None
        assert found.checkpoint["channel_values"] == before.checkpoint["channel_values"]


def test_quarantine_of_an_encrypted_store_is_encrypted(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = bytes(range(32))
    with LmdbSaver(tmp_path / "store", encryption_key=key) as saver:
        stores.grow(saver, "a", 1, 5)
        stores.grow(saver, "a", 1, 3, "sub")
        assert saver.verify().ok
        name = keys.checkpoint(keys.NamespaceRef(1, 0), "0002")
        inner = saver._kv.inner
        inner.write(lambda w: w.put(name, w.get(name)[:-1] + bytes([w.get(name)[-1] ^ 1])))
        found = saver.verify(repair=True)
        assert found.ok
        assert found.quarantine is not None
        lines = [json.loads(line) for line in Path(found.quarantine).read_text().splitlines()]
        assert lines
        text = b"".join(bytes.fromhex(line["value"]) for line in lines)
        assert b"channel" not in text
        assert b"messages" not in text
        assert saver.get_tuple(stores.config("a")) is not None


def test_verify_command(tmp_path: Path) -> None:
    path = filled(tmp_path / "store")
    clean = run(str(path))
    assert (clean.returncode, clean.stderr) == (0, "")
    assert clean.stdout.endswith("ok\n")
    damage(path)
    broken = run(str(path))
    assert broken.returncode == 1
    assert "checkpoint_id '0003'" in broken.stdout
    assert broken.stdout.endswith("not ok\n")
    report = json.loads(run(str(path), "--json").stdout)
    assert report["ok"] is False
    assert report["problems"][0]["kind"] in report["counts"]
    repaired = run(str(path), "--repair", "--json")
    assert repaired.returncode == 0
    assert json.loads(repaired.stdout)["quarantine"] == str(path / "quarantine-1.jsonl")
    assert run(str(path)).returncode == 0


def test_verify_command_creates_no_store(tmp_path: Path) -> None:
    for options in ([], ["--repair"]):
        done = run(str(tmp_path / "none"), *options)
        assert done.returncode == 2
        assert "there is no store" in done.stderr
    assert not (tmp_path / "none").exists()


def test_verify_command_refuses_a_newer_format_and_names_both(tmp_path: Path) -> None:
    path = filled(tmp_path / "store")
    kv = LmdbStore.open(path, sync="off")
    sealed = envelope.seal(keys.FORMAT, envelope.pack(envelope.encode(99), None))
    kv.write(lambda writer: writer.put(keys.FORMAT, sealed))
    kv.close()
    done = run(str(path), "--repair")
    assert done.returncode == 2
    assert "99" in done.stderr
    assert f"supported {envelope.SUPPORTED_VERSIONS}" in done.stderr


def test_verify_command_repairs_the_format_record(tmp_path: Path) -> None:
    path = filled(tmp_path / "store")
    kv = LmdbStore.open(path, sync="off")
    kv.write(lambda writer: writer.put(keys.FORMAT, b"\x00" * 8))
    kv.close()
    assert run(str(path)).returncode == 1
    assert run(str(path), "--repair").returncode == 0
    with LmdbSaver(path) as saver:
        assert saver.get_tuple(stores.config("a")) is not None


def test_verify_command_reads_the_key_from_the_environment(
    tmp_path: Path,
) -> None:
    pytest.importorskip("cryptography")
    key = b"k" * 32
    with LmdbSaver(tmp_path / "store", encryption_key=key) as saver:
        stores.grow(saver, "a", 1, 3)
    assert run(str(tmp_path / "store"), LANGGRAPH_AES_KEY=key.decode()).returncode == 0
    assert run(str(tmp_path / "store"), LANGGRAPH_AES_KEY="").returncode == 2


def test_damaged_pages_are_reported_and_records_not_read(tmp_path: Path) -> None:
    path = filled(tmp_path / "store")
    if page_check.check(str(path)).skipped_reason is not None:
        pytest.skip("this release of lmdb cannot check pages")
    data = bytearray((path / "data.mdb").read_bytes())
    leaves = [at for at in range(2 * PAGE, len(data), PAGE) if data[at + 10] & 2]
    data[leaves[len(leaves) // 2]] ^= 4  # the page's own number
    (path / "data.mdb").write_bytes(data)
    done = run(str(path), "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert set(report["counts"]) == {"pages"}
    assert report["records_unchecked"]


def test_recover_pages_copies_readable_records_of_damaged_pages(tmp_path: Path) -> None:
    path = filled(tmp_path / "store")
    with LmdbSaver(path, clock=stores.Clock()) as saver:
        before = content(saver)
    data = bytearray((path / "data.mdb").read_bytes())
    leaves = [at for at in range(2 * PAGE, len(data), PAGE) if data[at + 10] & 2]
    for at in leaves[5::20]:
        data[at : at + SECTOR] = bytes(SECTOR)
    (path / "data.mdb").write_bytes(data)
    target = tmp_path / "new"
    done = run(str(path), str(target), "--json", command="recover-pages")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {problem["kind"] for problem in found["problems"]} >= {"pages", "lost_checkpoint"}
    assert (path / "data.mdb").read_bytes() == data
    with LmdbSaver(target, clock=stores.Clock()) as saver:
        reachability.check(saver._kv)
        left = content(saver)
        assert 0 < len(left) < len(before)
        for key in left.keys() & before.keys():
            assert left[key].values == before[key].values
        stores.grow(saver, "another", 1, 3)
        assert saver.verify().ok


def unmerged(path: Path) -> Path:
    """Fill a store, and leave it as the end of a process that is killed; return its path."""
    filled(path)
    kv = LogStore.open(path, sync="off")
    saver = KvSaver(kv, clock=stores.Clock())
    for number in range(3):
        stores.grow(saver, f"in the log {number}", 1, 3)
    end_process(kv)
    assert any((path / "log.mdb").read_bytes())
    return path


def test_verify_and_recover_pages_read_a_log_that_is_not_merged(tmp_path: Path) -> None:
    path, target = unmerged(tmp_path / "store"), tmp_path / "new"
    files = {name: (path / name).read_bytes() for name in ("data.mdb", "log.mdb")}
    done = run(str(path), "--json")
    assert done.returncode == 0, done.stderr
    assert run(str(path), str(target), command="recover-pages").returncode == 0
    assert {name: (path / name).read_bytes() for name in files} == files
    with LmdbSaver(path) as old, LmdbSaver(target) as new:
        assert old.get(driver.config("in the log 2")) is not None
        assert records_of(new) == records_of(old)
        assert new.verify().ok


@pytest.mark.parametrize("kept", [None, 100])
def test_missing_or_short_log_is_reported_and_the_rest_can_be_recovered(
    tmp_path: Path, kept: int | None
) -> None:
    path, target = unmerged(tmp_path / "store"), tmp_path / "new"
    if kept is None:
        (path / "log.mdb").unlink()
    else:
        os.truncate(path / "log.mdb", kept)
    for options in ([], ["--repair"]):
        done = run(str(path), *options, "--json")
        assert done.returncode == 1
        report = json.loads(done.stdout)
        assert set(report["counts"]) == {"log"}
        assert report["records_unchecked"] == "the last calls are missing"
    with pytest.raises(DamagedError, match=r"log\.mdb") as caught:
        LmdbSaver(path)
    assert "recover-pages" in str(caught.value)
    done = run(str(path), str(target), "--json", command="recover-pages")
    assert done.returncode == 0, done.stderr
    assert "log" in {problem["kind"] for problem in json.loads(done.stdout)["problems"]}
    with LmdbSaver(target) as saver:
        reachability.check(saver._kv)
        assert saver.verify().ok
        assert [*saver.list(None)]


def test_recover_pages_copies_a_sound_store_and_refuses_an_existing_target(tmp_path: Path) -> None:
    path, target = filled(tmp_path / "store"), tmp_path / "new"
    done = run(str(path), str(target), command="recover-pages")
    assert (done.returncode, done.stderr) == (0, "")
    with LmdbSaver(path) as old, LmdbSaver(target) as new:
        assert records_of(new) == records_of(old)
    done = run(str(path), str(target), command="recover-pages")
    assert done.returncode == 2
    assert "there is a store already" in done.stderr
    assert run(str(tmp_path / "none"), str(tmp_path / "x"), command="recover-pages").returncode == 2


def test_recover_pages_of_an_encrypted_store_with_the_key_now_or_later(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = b"k" * 32
    path, now, later = tmp_path / "store", tmp_path / "now", tmp_path / "later"
    with LmdbSaver(path, encryption_key=key, clock=stores.Clock()) as saver:
        for thread in "abcdefgh":
            stores.grow(saver, thread, 1, 12)
        before = content(saver)
    data = bytearray((path / "data.mdb").read_bytes())
    lost = keys.checkpoint(keys.NamespaceRef(4, 0), "0005")
    for at in range(2 * PAGE, len(data), PAGE):
        if lost in data[at : at + PAGE]:
            data[at : at + SECTOR] = bytes(SECTOR)
    (path / "data.mdb").write_bytes(data)
    arguments = {"command": "recover-pages", "LANGGRAPH_AES_KEY": key.decode()}
    assert run(str(path), str(now), **arguments).returncode == 0
    refused = run(str(path), str(later), **{**arguments, "LANGGRAPH_AES_KEY": ""})
    assert refused.returncode == 2
    assert f"verify {later} --repair" in refused.stderr
    assert run(str(later), "--repair", LANGGRAPH_AES_KEY=key.decode()).returncode == 0
    for target in (now, later):
        with LmdbSaver(target, encryption_key=key, clock=stores.Clock()) as saver:
            left = content(saver)
            assert 0 < len(left) < len(before)
            for where in left.keys() & before.keys():
                assert left[where].values == before[where].values
            assert saver.verify().ok


def test_report_says_that_an_old_lmdb_cannot_check_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lmdb.verify", None)
    monkeypatch.delattr(lmdb, "verify", raising=False)
    with LmdbSaver(tmp_path / "store") as saver:
        found = saver.verify()
    assert found.ok
    assert found.pages_unchecked is not None
    assert "3.0" in found.pages_unchecked


def test_new_thread_gets_an_unused_number_if_the_counter_is_lost() -> None:
    """Damage of the counter of thread numbers must not let a new thread overwrite another."""
    saver = KvSaver(MemoryStore())
    for thread in ("first", "second"):
        saver.put(config(thread, ""), checkpoint("1", 1, thread), {}, {"x": 1})
    before = records_of(saver)
    saver._kv.write(lambda writer: writer.delete(keys.NEXT_THREAD))
    assert [problem.record for problem in saver.verify().problems] == [keys.NEXT_THREAD.hex()]
    assert saver.verify(repair=True).problems[0].outcome == "repaired"
    assert records_of(saver) == before
    saver._kv.write(lambda writer: writer.delete(keys.NEXT_THREAD))
    saver.copy_thread("second", "third")
    saver.put(config("fourth", ""), checkpoint("1", 1, "fourth"), {}, {"x": 1})
    assert saver.verify().ok
    for thread, value in zip(
        ("first", "second", "third", "fourth"), ("first", "second", "second", "fourth"), strict=True
    ):
        found = saver.get_tuple(config(thread))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"x": value}
