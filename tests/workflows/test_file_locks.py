"""Locks by files: what ends them, and the folder that they share with a store."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import InvalidPathError, UsageError
from langgraph.checkpoint.lmdb.workflows import FileLockManager
from langgraph.checkpoint.lmdb.workflows.errors import LockLostError

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig

HOLD = """
import sys
from langgraph.checkpoint.lmdb.workflows import FileLockManager

manager = FileLockManager(sys.argv[1])
print(manager.acquire("a"), flush=True)
sys.stdin.read()
"""
COUNT = """
import sys
from pathlib import Path
from langgraph.checkpoint.lmdb.workflows import FileLockManager

manager, counter = FileLockManager(sys.argv[1]), Path(sys.argv[2])
for _ in range(int(sys.argv[3])):
    with manager.lock("a"):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def put(saver: LmdbSaver, thread_id: str) -> None:
    config: RunnableConfig = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
    saver.put(config, empty_checkpoint(), {"step": 0}, {})


def files(path: Path) -> list[str]:
    return sorted(file.name for file in (path / "locks").iterdir())


def test_a_lock_ends_when_its_process_is_killed(path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"True\n"
        manager = FileLockManager(path)
        holder = manager.holder("a")
        assert holder is not None
        assert holder.pid == process.pid
        assert not manager.acquire("a", blocking=False)
        process.kill()
        process.wait()
    assert not manager.is_locked("a")
    assert manager.holder("a") is None
    with manager.lock("a", blocking=False):
        assert manager.is_locked("a")
    assert files(path) == []


def test_one_process_at_a_time_holds_a_lock_that_is_released_often(
    path: Path, tmp_path: Path
) -> None:
    """A waiter that has opened the file of a released lock must not take it for the lock."""
    counter, turns = tmp_path / "counter", 100
    counter.write_text("0")
    command = [sys.executable, "-c", COUNT, str(path), str(counter), str(turns)]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * len(processes)
    assert int(counter.read_text()) == turns * len(processes)
    assert files(path) == []


def test_the_files_of_a_held_lock_tell_its_name(path: Path) -> None:
    manager = FileLockManager(path)
    with manager.lock("resume_workflow_a"):
        found = [file for file in (path / "locks").iterdir() if file.suffix == ".holder"]
        assert [json.loads(file.read_text())["name"] for file in found] == ["resume_workflow_a"]


def test_a_deleted_file_of_a_lock_is_noticed(path: Path) -> None:
    first, second = FileLockManager(path), FileLockManager(path)
    assert first.acquire("a")
    for file in (path / "locks").iterdir():
        file.unlink()
    with pytest.raises(LockLostError):
        first.check("a")
    assert second.acquire("a", blocking=False)
    first.release("a")  # its own only
    second.check("a")
    assert first.is_locked("a")


def test_a_store_works_in_a_folder_with_locks(path: Path, tmp_path: Path) -> None:
    manager = FileLockManager(path)
    with manager.lock("a"), LmdbSaver(path, sync="off") as saver:
        put(saver, "t")
        assert saver.verify().ok
        saver.compact()
        saver.backup(tmp_path / "backup")
    with LmdbSaver(tmp_path / "backup", readonly=True) as copy:
        assert [thread.thread_id for thread in copy.threads()] == ["t"]
    assert not (tmp_path / "backup" / "locks").exists()
    with manager.lock("a"), LmdbSaver(path, sync="off") as saver:
        assert saver.verify(repair=True).ok


def test_paths_that_lead_to_one_folder_share_locks(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    with FileLockManager(path).lock("a"):
        assert not FileLockManager(link).acquire("a", blocking=False)


def test_folders_do_not_share_locks(tmp_path: Path) -> None:
    with FileLockManager(tmp_path / "a").lock("a"):
        assert FileLockManager(tmp_path / "b").acquire("a", blocking=False)


def test_paths_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, "\0"):
        with pytest.raises(InvalidPathError, match="the path is"):
            FileLockManager(path)
    for wrong in (None, "", 7):
        with pytest.raises(UsageError, match="path must be"):
            FileLockManager(wrong)  # type: ignore[arg-type]
