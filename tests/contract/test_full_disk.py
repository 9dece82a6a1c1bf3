"""A full disk raises StoreFullError, keeps all data readable, and needs no reopening."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import StoreFullError
from tests.contract.driver import SaverDriver, config, put, values, writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 120.0
"""Seconds after which a process counts as hung."""


def fill(driver: SaverDriver, most: int = 400) -> int:
    """Put random values of 64 KB until the disk is full; return the number of acknowledged puts."""
    stored: list[int] = []

    def put_all() -> None:
        for number in range(most):
            put(driver, f"c{number:03}", {"value": os.urandom(65536)}, parent=f"c{number - 1:03}")
            driver.put_writes(config(id=f"c{number:03}"), [("x", number)], "task")
            stored.append(number)

    with pytest.raises(StoreFullError):
        put_all()
    return len(stored)


def check_full(saver: LmdbSaver, make_room: Callable[[], Any]) -> None:
    """Fill the disk, make room, and check reads and writes before and after."""
    driver = SaverDriver(saver)
    stored = fill(driver)
    assert stored > 0
    for _ in range(3):
        with pytest.raises(StoreFullError):
            put(driver, "z", {"value": os.urandom(10 * 65536)})
        check_whole(driver, stored)
    make_room()
    put(driver, "z", {"value": b"room"})
    assert values(driver, config()) == {"value": b"room"}
    check_whole(driver, stored)


def check_whole(driver: SaverDriver, stored: int) -> None:
    """Check that each acknowledged checkpoint is complete."""
    listed = {
        one.checkpoint["id"]: one for one in driver.list(config()) if one.checkpoint["id"] != "z"
    }
    assert [*listed][-stored:] == [f"c{number:03}" for number in reversed(range(stored))]
    assert len(listed) <= stored + 1
    for number in range(stored):
        assert len(values(driver, config(id=f"c{number:03}"))["value"]) == 65536
        assert writes(driver, config(id=f"c{number:03}")) == [("task", "x", number)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB, half of which a deletable file occupies."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    try:
        (disk / "ballast").write_bytes(bytes(4 * 2**20))
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_store_survives_a_full_file_system(small_disk: Path) -> None:
    with LmdbSaver(small_disk / "store") as saver:
        check_full(saver, (small_disk / "ballast").unlink)
        saver.delete_thread("t")
    with LmdbSaver(small_disk / "store") as saver:
        assert [*saver.list(None)] == []


def limited(path: Path) -> None:
    """Run the checks in a new process, with a limit on the size of files."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    with LmdbSaver(path) as saver:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 2**20, most))
        check_full(saver, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))


def test_store_survives_a_limit_on_the_size_of_files(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.contract.test_full_disk import limited\n"
        "limited(Path(sys.argv[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_new_store_on_a_full_disk_raises(small_disk: Path) -> None:
    with (small_disk / "more").open("wb", buffering=0) as more:
        try:
            while more.write(bytes(4096)):
                pass
        except OSError:
            pass
    with pytest.raises(StoreFullError, match="store"):
        LmdbSaver(small_disk / "store")
