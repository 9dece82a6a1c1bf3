"""Another process that holds the write lock of a store, so that a write has to wait."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0
"""Seconds after which the process releases the lock, so that a blocked test fails."""

_PROGRAM = """
import fcntl, select, sys
with open(sys.argv[1] + "/log-lock.mdb") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    select.select([sys.stdin], [], [], float(sys.argv[2]))
"""


class WriteLock:
    """A write lock that another process holds until it is released."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(path), str(PATIENCE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin
        assert self._process.stdout.readline() == b"held\n"

    def release(self) -> None:
        """Release the lock, so that writers continue."""
        if not self._stdin.closed:
            self._process.communicate(b"\n")


@contextmanager
def write_lock(path: Path) -> Iterator[WriteLock]:
    """Hold the write lock of an open store."""
    lock = WriteLock(path)
    try:
        yield lock
    finally:
        lock.release()
