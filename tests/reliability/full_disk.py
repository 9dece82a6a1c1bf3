"""Disks that are full and files that may not grow, by the kernel's own means."""

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
from tests.reliability.checking import assert_whole, content, difference
from tests.reliability.oracle import State, Worker
from tests.reliability.outcome import Outcome
from tests.reliability.processes import folder_in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DISK = 4 << 20


def run(rounds: int, seed: int) -> Outcome:
    """Fill a small disk, and a file up to a limit, `rounds` times in all."""
    print(f"full disks: seed {seed}")
    notes: tuple[str, ...] = ()
    tried, seen = rounds - rounds // 2, Counter[str]()
    with folder_in_memory() as folder:
        found = _in_process("limits", folder, tried, seed)
        seen["calls refused by a limit on the length of the file"] = found
    try:
        with _small_disk() as disk:
            found = _in_process("disks", disk, rounds // 2, seed)
            seen["calls refused by a file system without room"] = found
            tried = rounds
    except PermissionError as error:
        notes = (f"No small file system could be mounted where this was made: {error}.",)
    return Outcome(
        "a full file system (tmpfs) and RLIMIT_FSIZE",
        tried,
        (
            "the call raises StoreFullError and stores nothing, again and again",
            "all that was acknowledged is read meanwhile, by the same saver",
            "once there is room the same saver writes again; the same after opening anew",
        ),
        dict(seen),
        notes,
    )


def limits(folder: str, rounds: int, seed: int) -> int:
    """In a process of its own: a limit on the length of files, somewhere in the next commits."""
    random, most = Random(seed), resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def limit() -> None:
        room = random.randrange(0, 100_000, random.choice([1, 512, 4096]))
        length = (Path(folder) / "store" / "data.mdb").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (length + room, most))

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return _fill(Path(folder) / "store", rounds, seed, limit, lift)


def disks(folder: str, rounds: int, seed: int) -> int:
    """In a process of its own: a file system with little room left."""
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
    """Write until there is no room, and again once there is; how many calls were refused."""
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
                _assert_shows(saver, worker.state)
                try:
                    worker.state = _next(saver, worker)
                except StoreFullError:
                    refused += 1
            _assert_shows(saver, worker.state)
            lift()
            worker.state = _next(saver, worker)
            _assert_shows(saver, worker.state)
        with LmdbSaver(path, sync=sync) as saver:
            _assert_shows(saver, worker.state)
        shutil.rmtree(path)
    return refused


def _next(saver: LmdbSaver, worker: Worker) -> State:
    operation = worker.next("put_writes" if worker.state else "put")
    operation.call(saver)
    return operation.after(worker.state)


def _assert_shows(saver: LmdbSaver, state: State) -> None:
    found = content(saver)
    assert found == state, difference(found, state)
    assert_whole(saver)


@contextmanager
def _small_disk() -> Iterator[str]:
    """A file system of its own, with little room.

    Raises:
        PermissionError: It may not be mounted.
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
