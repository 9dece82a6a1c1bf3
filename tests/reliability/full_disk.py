"""Full disks and files that may not grow, by a small tmpfs and by RLIMIT_FSIZE."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import StoreFullError
from tests.reliability import shim
from tests.reliability.checking import assert_sound, content, difference
from tests.reliability.oracle import State, Worker
from tests.reliability.outcome import Outcome
from tests.reliability.processes import folder_in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DISK = 4 << 20
"""Bytes of the small file system."""


def run(rounds: int, seed: int) -> Outcome:
    """Fill a small disk, or a file up to a limit, `rounds` times."""
    print(f"full disks: seed {seed}")
    notes: tuple[str, ...] = ()
    tried, seen = rounds - rounds // 2, Counter[str]()
    with folder_in_memory() as folder:
        found = _in_process("limits", folder, tried, seed)
        seen["calls refused by a limit on the length of the file"] = found
    try:
        with _small_disk() as disk:
            found = _in_process("disks", disk, rounds // 2, seed)
            seen["calls refused by a full file system"] = found
            tried = rounds
    except PermissionError as error:
        notes = (f"The small file system could not be mounted on this machine: {error}.",)
    return Outcome(
        "a full file system (tmpfs) and RLIMIT_FSIZE",
        tried,
        (
            "each call raises StoreFullError and stores nothing",
            "the same saver reads all acknowledged data while the disk is full",
            "when the disk has space, the same saver writes again, also after reopening the store",
        ),
        dict(seen),
        notes,
    )


def limits(folder: str, rounds: int, seed: int) -> int:
    """In a new process: limit the length of files so that one of the next commits fails."""
    random, most = Random(seed), resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def limit() -> None:
        room = random.randrange(0, 100_000, random.choice([1, 512, 4096]))
        length = (Path(folder) / "store" / "data.mdb").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (length + room, most))

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return _fill(Path(folder) / "store", rounds, seed, limit, lift)


def disks(folder: str, rounds: int, seed: int) -> int:
    """In a new process: fill the file system so that one of the next commits fails."""
    random, ballast = Random(seed), Path(folder) / "ballast"

    def limit() -> None:
        system = os.statvfs(folder)
        left = system.f_bavail * system.f_frsize
        ballast.write_bytes(bytes(max(0, left - random.randrange(0, 100_000, 4096))))

    return _fill(Path(folder) / "store", rounds, seed, limit, ballast.unlink)


def _in_process(program: str, folder: str, rounds: int, seed: int) -> int:
    return int(
        shim.in_process(
            f"tests.reliability.full_disk:{program}",
            under=("env",),
            folder=folder,
            rounds=rounds,
            seed=seed,
        )
    )


def _fill(
    path: Path, rounds: int, seed: int, limit: Callable[[], None], lift: Callable[[], None]
) -> int:
    """Write until a call is refused, lift the limit, and write; count the refused calls."""
    refused = 0
    for number in range(rounds):
        sync = Random(f"{seed}/{number}").choice(["full", "normal", "off"])
        worker = Worker("a")
        worker.begin(f"{seed}", number + 1)
        with LmdbSaver(path, sync=sync) as saver:
            worker.state = _next(saver, worker)
            limit()
            try:
                while True:
                    worker.state = _next(saver, worker)
            except StoreFullError:
                refused += 1
            for _ in range(2):
                _assert_state(saver, worker.state)
                try:
                    worker.state = _next(saver, worker)
                except StoreFullError:
                    refused += 1
            _assert_state(saver, worker.state)
            lift()
            worker.state = _next(saver, worker)
            _assert_state(saver, worker.state)
        with LmdbSaver(path, sync=sync) as saver:
            _assert_state(saver, worker.state)
        shutil.rmtree(path)
    return refused


def _next(saver: LmdbSaver, worker: Worker) -> State:
    operation = worker.next("put_writes" if worker.state else "put")
    operation.call(saver)
    return operation.after(worker.state)


def _assert_state(saver: LmdbSaver, state: State) -> None:
    found = content(saver)
    assert found == state, difference(found, state)
    assert_sound(saver)


@contextmanager
def _small_disk() -> Iterator[str]:
    """Mount a small file system and return its folder.

    Raises:
        PermissionError: Mounting is not permitted.
    """
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", folder]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermissionError(done.stderr.strip())
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
