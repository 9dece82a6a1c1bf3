"""Forked processes for the tests of reliability."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kv.processes import fork

if TYPE_CHECKING:
    from collections.abc import Callable


def fork_and_run(body: Callable[[], object]) -> int:
    """Run `body` in a forked process, which then exits; return its process id."""
    pid = fork()
    if pid:
        return pid
    status = 1
    try:
        body()
        status = 0
    except BaseException:  # noqa: BLE001 - the exit status reports it
        traceback.print_exc()
    finally:
        os._exit(status)


def assert_ended_well(pid: int) -> None:
    """Wait for a forked process, and assert that its exit status is 0."""
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def folder_in_memory() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder, in memory if possible, because fsync costs nothing there."""
    memory = Path("/dev/shm")
    where = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    return tempfile.TemporaryDirectory(dir=where)
