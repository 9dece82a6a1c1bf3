"""The files of locks: which lock is held, and by which process, asked without acquiring it.

A held lock is two files in the folder `locks`, named by a hash of the lock's name: `HASH.lock` and
`HASH.holder`. The second names the holder, which has it locked as an open file description. The
kernel answers whether that lock is held, so a question never makes another process's `acquire`
fail.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

LOCKS: Final = "locks"
"""Name of the folder of lock files in the folder of the store."""
FLOCK: Final = struct.Struct("hhqqi4x")  # type, whence, start, length, process
_RUN: Final = "resume_workflow_"
_HOLDER: Final = "holder"


class Holder(NamedTuple):
    """The record of a held lock."""

    name: str
    host: str
    pid: int
    since: float
    """Seconds since the epoch."""


def run_lock(thread_id: str) -> str:
    """Return the name of the lock that a thread's run holds."""
    return f"{_RUN}{thread_id}"


def locked_thread(name: str) -> str | None:
    """Return the thread whose run holds a lock of this name; None for another lock."""
    return name[len(_RUN) :] if name.startswith(_RUN) else None


def lock_file(folder: Path, name: str, kind: str) -> Path:
    """Return the path of a file of a lock.

    Args:
        folder: The folder of the lock files.
        name: Name of the lock.
        kind: Kind of the file: `lock`, `holder`, or `new` for a holder that is being written.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return folder / f"{digest}.{kind}"


def holder_of(folder: Path, name: str) -> Holder | None:
    """Return the holder of a lock; None if it is free.

    Raises:
        OSError: The system refuses.
    """
    return _read(lock_file(folder, name, _HOLDER))


def holders(folder: Path) -> Iterator[Holder]:
    """Yield the holders of all locks of a folder.

    Raises:
        OSError: The system refuses.
    """
    for path in folder.glob(f"*.{_HOLDER}"):
        found = _read(path)
        if found is not None:
            yield found


def running_threads(store: str | None) -> frozenset[str]:
    """Return the threads whose run a live process executes under its lock.

    Args:
        store: Folder of the store; None: a store in memory.
    """
    if store is None:
        return frozenset()
    try:
        threads = {locked_thread(found.name) for found in holders(Path(store, LOCKS))}
    except OSError:  # another user's
        return frozenset()
    return frozenset(threads - {None})  # type: ignore[arg-type]


def is_running(store: str | None, thread_id: str) -> bool:
    """Return True if a live process executes the run of a thread under its lock."""
    try:
        return store is not None and holder_of(Path(store, LOCKS), run_lock(thread_id)) is not None
    except OSError:
        return False


def _read(path: Path) -> Holder | None:
    """Return the holder that a file names; None if it is missing or not locked."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        # A question with a read lock needs no right to write.
        question = FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, question)
        if FLOCK.unpack(answer)[0] == fcntl.F_UNLCK:
            return None  # its process died
        record = json.loads(os.read(handle, os.fstat(handle).st_size))
        return Holder(record["name"], *record["holder"])
    finally:
        os.close(handle)
