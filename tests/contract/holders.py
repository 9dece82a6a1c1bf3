"""Another process that holds a store's write lock, so that a write surely is under way."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0
"""Seconds until the lock is let go anyway, so that a test it blocks fails, and ends."""

_PROGRAM = """
import lmdb, select, sys
environment = lmdb.open(sys.argv[1], max_dbs=64, map_size=2**30)
with environment.begin(write=True):
    print("held", flush=True)
    select.select([sys.stdin], [], [], float(sys.argv[2]))
environment.close()
"""


class WriteLock:
    """The lock, until it is released."""

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
        """Let the writers go on."""
        if not self._stdin.closed:
            self._process.communicate(b"\n")


@contextmanager
def write_lock(path: Path) -> Iterator[WriteLock]:
    """Hold the write lock of a store that is open elsewhere."""
    lock = WriteLock(path)
    try:
        yield lock
    finally:
        lock.release()
