"""What happens to a mapped file behind LMDB's back: not to be survived, shown in a child."""

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
    """Cut the file of a store short in the middle of a read, `rounds` times, in new processes."""
    print(f"mapped files: seed {seed}")
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
            raise AssertionError("a store that was cut short was opened")
    return Outcome(
        "not to be survived: the file cut short by another program while it is read",
        rounds,
        (
            "the system ends the process that reads a page which is not there",
            "the next to open the store refuses it as damaged",
        ),
        {"processes ended by the system": killed},
        (
            """\
LMDB reads through a memory map, so a page that the disk cannot read (a bad sector) or that was
cut off ends the process with SIGBUS; neither LMDB nor its Python binding can turn that into an
error. The same goes for a copy-on-write file system that finds no room when LMDB's lock file is
written through its map. On others that cannot happen: the lock file gets all its blocks when it
is made.""",
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
