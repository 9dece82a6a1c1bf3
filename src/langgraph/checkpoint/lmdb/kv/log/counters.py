"""What the processes share in memory: how far the log is durable, and the lock for their turns.

The counters are in a file of their own, which is never flushed: with a flush of the log the kernel
would write their page as well. After a failure of the power they may have any value.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import random
import time
import weakref
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from langgraph.checkpoint.lmdb.errors import StoreBusyError, StoreReplacedError
from langgraph.checkpoint.lmdb.kv.lmdb import creation, files
from langgraph.checkpoint.lmdb.kv.lmdb.peers import RETRY_JITTER
from langgraph.checkpoint.lmdb.kv.lmdb.process_locks import (
    OPEN_FILE_LOCKS,
    LockWait,
    ProcessLocks,
    holders,
)

NAME: Final = "log-lock.mdb"
_NEW: Final = "log-lock.new"
_SIZE: Final = mmap.PAGESIZE
_ATTEMPTS: Final = 1000
_PRESENCE: Final = (0, 0)
_DURABLE: Final = 0
_UNFINISHED: Final = 1
_BARRED_EPOCH: Final = 2
_BARRED_NUMBER: Final = 3


class Counters:
    """The open file of the counters. At the latest, it is closed when the object is collected.

    Args:
        folder: The store's folder.

    Attributes:
        unlock: Function that releases the lock, if this process holds it. It is not Python code: in
            a `finally` block no interrupt comes before it has run.
    """

    __slots__ = (
        "__weakref__",
        "_close",
        "_folder",
        "_identity",
        "_locks",
        "_map",
        "_path",
        "_words",
        "unlock",
    )

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = f"{folder}/{NAME}"
        self._locks = self._join()
        self._close = weakref.finalize(self, self._locks.close)
        self._close.atexit = False
        self.unlock = partial(fcntl.flock, self._locks.handle, fcntl.LOCK_UN)
        self._identity = self._locks.identity()
        self._map = mmap.mmap(self._locks.handle, _SIZE)
        self._words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Close the file; no thread uses it now or later."""
        self._words.release()
        self._map.close()
        self._close()

    def _join(self) -> ProcessLocks:
        """Open the file and show presence, so that no other process removes it."""
        for _ in range(_ATTEMPTS):
            if files.status(self._folder, NAME) is None:
                _create(self._folder)
            with suppress(FileNotFoundError):  # another process has just removed it
                locks = ProcessLocks(self._folder, _PRESENCE, name=NAME)
                try:
                    if locks.join() and self._is_at_path(locks.identity()):
                        return locks
                except BaseException:
                    locks.close()
                    raise
                locks.close()
            time.sleep(random.uniform(0, RETRY_JITTER))  # noqa: S311 - not in step with others
        raise StoreBusyError("another process keeps closing the store", path=self._folder)

    def _is_at_path(self, identity: tuple[int, int]) -> bool:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - once per commit
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == identity

    @property
    def durable(self) -> int:
        """Number of the last record that readers may see."""
        return self._words[_DURABLE]

    @durable.setter
    def durable(self, number: int) -> None:
        self._words[_DURABLE] = number

    @property
    def unfinished(self) -> bool:
        """True from the start of a change to the log or the base until it has succeeded.

        A process that finds it set merges first: another process died in the middle, or failed.
        """
        return self._words[_UNFINISHED] != 0

    @unfinished.setter
    def unfinished(self, value: bool) -> None:
        self._words[_UNFINISHED] = value

    def bar(self, epoch: int, number: int) -> None:
        """Let no process adopt a record of an epoch whose writer has reported an error.

        It is looked at only while `unfinished` is set, by the process that merges.
        """
        self._words[_BARRED_EPOCH] = 0
        self._words[_BARRED_NUMBER] = number
        self._words[_BARRED_EPOCH] = epoch

    def unbar(self) -> None:
        """Forget a barred record: after a failure of the power, any record may seem barred."""
        self._words[_BARRED_EPOCH] = 0

    def end_of(self, epoch: int) -> int | None:
        """Return the last record of an epoch that may be adopted; None: all that are whole."""
        if self._words[_BARRED_EPOCH] != epoch:
            return None
        return self._words[_BARRED_NUMBER] - 1

    def take_turn(self) -> None:
        """Wait for the lock. The caller calls `unlock` and `end_turn`, also after an error.

        Raises:
            StoreBusyError: Another process keeps the lock.
            StoreReplacedError: The file was removed or replaced.
        """
        wait: LockWait | None = None
        while not self._locks.try_acquire_write():
            wait = wait or LockWait(self._folder, self._identity, writing=True)
            wait.pause()
        self._check()

    def end_turn(self) -> None:
        """Note that this process has released the lock, or no longer waits for it."""
        self._locks.release_write()
        self._locks.stop_waiting()

    def _check(self) -> None:
        if not self._is_at_path(self._identity):
            raise StoreReplacedError(
                f"the file {NAME} was removed or replaced while open", path=self._folder
            )

    def remove(self, *others: str) -> None:
        """Remove this file and others, unless another process has the store open.

        Called in the turn, before the last use.
        """
        if OPEN_FILE_LOCKS and self._locks.exclude_others():
            for other in others:
                Path(self._folder, other).unlink(missing_ok=True)
            Path(self._path).unlink(missing_ok=True)


def writers(folder: str) -> list[int]:
    """Return the other processes that hold the lock, as far as this user may see."""
    found = files.status(folder, NAME)
    return [] if found is None else holders((found.st_dev, found.st_ino), "FLOCK")


def _create(folder: str) -> None:
    """Create the file, completely or not at all."""
    path, new = Path(folder, NAME), Path(folder, _NEW)
    with creation.locked(Path(folder)):
        if files.status(folder, NAME) is None:
            try:
                new.write_bytes(bytes(_SIZE))
                new.chmod(0o600)
                new.rename(path)
            except OSError:
                new.unlink(missing_ok=True)
                raise
