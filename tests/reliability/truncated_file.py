"""Truncation of an open file by another program, which no process survives."""

from __future__ import annotations

import faulthandler
import os
import signal
import tempfile
from pathlib import Path

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.base import MAX_KEY_SIZE
from tests.reliability.oracle import Worker
from tests.reliability.outcome import Outcome
from tests.reliability.processes import fork_and_run

_FATAL = (-signal.SIGBUS, -signal.SIGSEGV)


def run(rounds: int, seed: int) -> Outcome:
    """Truncate the file of a store during a read, `rounds` times, each in a new process."""
    print(f"truncated files: seed {seed}")
    killed = 0
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store"
            worker = Worker("a")
            worker.begin(f"{seed}", number)
            ended = os.waitpid(fork_and_run(lambda at=path, of=worker: _read(at, of)), 0)[1]
            status = os.waitstatus_to_exitcode(ended)
            assert status in _FATAL, status
            killed += 1
            try:
                LmdbSaver(path).close()
            except DamagedError:
                continue
            raise AssertionError("a truncated store was opened")
    return Outcome(
        "not survivable: another program truncates the file during a read",
        rounds,
        (
            "the kernel ends the process that reads a missing page",
            "opening the store again raises DamagedError",
        ),
        {"processes ended by the kernel": killed},
        (
            """\
LMDB reads through a memory map. If a page is missing, or the disk cannot read its sector, the
kernel ends the process with SIGBUS. LMDB and its Python binding cannot turn that into an error.
A full copy-on-write file system has the same effect when LMDB's lock file is written through its
map. Other file systems are not affected, because the lock file gets all its blocks when it is
created.""",
        ),
    )


def _read(path: Path, worker: Worker) -> None:
    faulthandler.disable()
    saver = LmdbSaver(path, cache_size=0)
    for _ in range(5):
        operation = worker.next("put")
        operation.call(saver)
        worker.state = operation.after(worker.state)
    with saver._kv.read() as reader:
        os.truncate(path / "data.mdb", 8192)
        list(reader.range(b"\0", b"\xff" * MAX_KEY_SIZE))
