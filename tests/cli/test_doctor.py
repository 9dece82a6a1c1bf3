"""`doctor`: what it finds, and what it says to do."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.diagnosis import (
    Finding,
    diagnose,
    file_system,
    free_space,
    on_condition,
)
from langgraph.checkpoint.lmdb.engine import store as engine_store
from langgraph.checkpoint.lmdb.errors import InvalidPathError
from langgraph.checkpoint.lmdb.kv.lmdb.condition import Condition, OpenSnapshot
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from langgraph.checkpoint.lmdb.lock_files import run_lock
from langgraph.checkpoint.lmdb.workflows import FileLockManager
from tests.cli.conftest import run, run_json
from tests.kv.log.ends import end_process
from tests.views import graphs

if TYPE_CHECKING:
    from pathlib import Path

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /data rw - nfs4 server:/data rw
24 23 0:22 / /data/local\\040disk rw - xfs /dev/vdb rw
25 22 0:23 / /ram rw - tmpfs tmpfs rw
26 22 0:24 / /container rw - overlay overlay rw
27 22 0:25 / /home/far rw - fuse.sshfs host:/ rw
"""
SOUND = Condition(
    length=1 << 20,
    occupied=1 << 20,
    used=1 << 20,
    free=1 << 12,
    map_size=16 << 20,
    readers=2,
    max_readers=510,
    snapshots=(),
    writers=(),
)


def risks(path: Path) -> list[Finding]:
    return [found for found in diagnose(str(path)) if found.level == "risk"]


def advice(findings: list[Finding], topic: str) -> str:
    (found,) = (found for found in findings if (found.topic, found.level) == (topic, "advice"))
    assert found.advice is not None
    return f"{found.text} {found.advice}"


def test_sound_store_has_a_finding_on_each_topic(filled: Path) -> None:
    done = run("doctor", filled, new=True)
    assert "opens; format version 1, not encrypted" in done.stdout
    found = run_json("doctor", filled)
    assert {one["topic"] for one in found} >= {
        *("versions", "file system", "free space", "store", "disk", "map", "readers", "locks")
    }
    assert not [one for one in found if one["level"] == "risk"]
    (versions,) = (one["text"] for one in found if one["topic"] == "versions")
    assert {"langgraph-checkpoint", "lmdb", "Python"} <= {
        part.split()[0] for part in versions.split(", ")
    }


def test_nothing_is_written(copied: Path) -> None:
    before = {path.name: path.read_bytes() for path in copied.glob("data.mdb")}
    diagnose(str(copied))
    assert {path.name: path.read_bytes() for path in copied.glob("data.mdb")} == before


@pytest.mark.parametrize(
    ("folder", "level", "text"),
    [
        ("/var/store", "ok", "ext4"),
        ("/data/store", "risk", "nfs4"),
        ("/data", "risk", "nfs4"),
        ("/database", "ok", "ext4"),
        ("/data/local disk/store", "ok", "xfs"),
        ("/ram/store", "advice", "restarts"),
        ("/container/store", "advice", "container"),
        ("/home/far/store", "risk", "fuse.sshfs"),
    ],
)
def test_file_system_is_judged(tmp_path: Path, folder: str, level: str, text: str) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    found = file_system(folder, tmp_path / "mounts")
    assert found.level == level
    assert text in found.text
    assert (found.advice is None) == (level == "ok")


def test_file_system_may_be_unknown(tmp_path: Path) -> None:
    assert file_system("/store", tmp_path / "missing").level == "ok"


def test_free_space_is_judged() -> None:
    levels = [free_space(free, 100 << 30).level for free in (50 << 30, 900 << 20, 1 << 20)]
    assert levels == ["ok", "advice", "risk"]
    assert "compact" in str(free_space(0, 1 << 30).advice)


def test_condition_of_the_files_is_judged() -> None:
    assert {found.level for found in on_condition(SOUND)} == {"ok"}
    worse = Condition(
        length=1 << 30,
        occupied=1 << 30,
        used=1 << 30,
        free=1 << 29 | 1 << 28,
        map_size=1 << 31,
        readers=500,
        max_readers=510,
        snapshots=(OpenSnapshot(4711, 5000), OpenSnapshot(4712, 3)),
        writers=(4713,),
    )
    findings = [*on_condition(worse)]
    assert "langgraph-lmdb compact" in advice(findings, "disk")
    texts = [found.text for found in findings if found.topic == "readers"]
    assert texts[0].startswith("500 of 510")
    assert len(texts) == 2
    assert "process 4711 reads a snapshot that is 5000 merges old" in texts[1]
    assert findings[-1].text == "the write lock is held by process 4713"


def test_snapshot_of_another_process_is_seen(copied: Path) -> None:
    reader = (
        "import sys\n"
        "from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore\n"
        "with LmdbStore.open(sys.argv[1], readonly=True).read():\n"
        "    print('reads', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", reader, str(copied)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"reads\n"
        with LmdbSaver(copied, sync="off") as saver:
            graphs.asked(saver)
        kv = LmdbStore.open(copied, readonly=True)
        (found,) = kv.condition().snapshots
        kv.close()
        process.stdin.close()
    assert found.process == process.pid
    assert found.merges_behind > 0


def test_free_pages_are_counted(copied: Path) -> None:
    with LmdbSaver(copied, sync="off") as saver:
        for number in range(20):
            graphs.chat(saver, f"more {number}")
    with LmdbSaver(copied, sync="off") as saver:
        for number in range(20):
            saver.delete_thread(f"more {number}")
    kv = LmdbStore.open(copied, readonly=True)
    found = kv.condition()
    kv.close()
    assert found.used // 2 < found.free < found.used <= found.length


def test_link_to_the_data_file_is_a_risk(copied: Path, tmp_path: Path) -> None:
    os.link(copied / "data.mdb", tmp_path / "link")
    (found,) = risks(copied)
    assert "data.mdb is a link" in found.text
    assert "\nrisk   files" in run("doctor", copied, status=1).stdout


def test_folder_that_others_may_read_is_named(copied: Path) -> None:
    copied.chmod(0o755)
    assert "chmod 700" in advice(diagnose(str(copied)), "files")
    copied.chmod(0o700)
    assert not [found for found in diagnose(str(copied)) if found.topic == "files"]


@pytest.mark.parametrize("kept", [0, 8192])
def test_damaged_file_is_a_risk(copied: Path, kept: int) -> None:
    data = (copied / "data.mdb").read_bytes()
    (copied / "data.mdb").write_bytes(data[:kept] + bytes(len(data) - kept))
    found = risks(copied)
    assert found
    assert "langgraph-lmdb" in str(found[0].advice)


def test_log_that_is_not_merged_is_sound_and_a_missing_one_is_a_risk(tmp_path: Path) -> None:
    path = tmp_path / "store"
    kv = LogStore.open(path)
    saver = KvSaver(kv)
    for number in range(3):
        graphs.chat(saver, f"t{number}")
    end_process(kv)
    before = {one.name: one.read_bytes() for one in path.glob("*.mdb") if one.name != "lock.mdb"}
    assert not risks(path)
    after = {one.name: one.read_bytes() for one in path.glob("*.mdb") if one.name != "lock.mdb"}
    assert after == before
    (path / "log.mdb").unlink()
    (found,) = risks(path)
    assert "log.mdb is missing" in found.text
    assert found.advice is not None
    assert "recover-pages" in found.advice


def test_encrypted_store_needs_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography")
    with LmdbSaver(tmp_path, encryption_key=b"k" * 32) as saver:
        graphs.asked(saver)
    assert "LANGGRAPH_AES_KEY" in advice(diagnose(str(tmp_path)), "store")
    monkeypatch.setenv("LANGGRAPH_AES_KEY", "k" * 32)
    assert "encrypted" in next(
        found.text for found in diagnose(str(tmp_path)) if found.topic == "store"
    )
    monkeypatch.setenv("LANGGRAPH_AES_KEY", "x" * 32)
    assert advice(diagnose(str(tmp_path)), "store")
    assert not risks(tmp_path)


def test_newer_format_is_named(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_store.envelope, "SUPPORTED_VERSIONS", (0,))
    assert "format version 1" in advice(diagnose(str(copied)), "store")


def test_running_runs_and_quarantines_are_named(copied: Path) -> None:
    (copied / "quarantine-1.jsonl").write_text("{}\n")
    with FileLockManager(copied).lock(run_lock("chat")):
        findings = diagnose(str(copied))
    assert f"process {os.getpid()} runs thread 'chat'" in [found.text for found in findings]
    assert any("quarantine-1.jsonl" in found.text for found in findings)
    assert "no run holds its lock" in [found.text for found in diagnose(str(copied))]


def test_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPathError, match="there is no store here"):
        diagnose(str(tmp_path))
    assert "there is no store here" in run("doctor", tmp_path / "none", status=2).stderr
    assert not any(tmp_path.iterdir())
