"""The other processes that use a store: locks, reader slots, and one pair of files.

LMDB keeps the number of the last commit, and which snapshots are read, in the lock file. Two
processes with one data file and two lock files do not see each other's commits and overwrite them.
That happens when the lock file is deleted while the store is open, or when the data file is a link.
Two data files with one lock file are as bad. That happens when the data file is replaced while
open.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from threading import RLock
from typing import TYPE_CHECKING, Final, TypeVar

from langgraph.checkpoint.lmdb.errors import StoreBusyError, StoreReplacedError
from langgraph.checkpoint.lmdb.kv.lmdb.files import OpenFiles, can_lock
from langgraph.checkpoint.lmdb.kv.lmdb.process_locks import LockWait, ProcessLocks, holders

if TYPE_CHECKING:
    import lmdb

T = TypeVar("T")

_ATTEMPTS: Final = 32
RETRY_JITTER: Final = 0.02
"""Seconds within which processes that refused each other try again."""


class BusyError(Exception):
    """Another process holds the lock."""


class LockFileReplacedError(Exception):
    """The lock file was deleted or replaced: the environment must be opened again."""


class Peers:
    """The locks and reader slots by which one open store shares its files with other processes.

    Every method except `join` and `leave` needs a store that has joined.

    Invariants:
        - A process holds the write lock from before LMDB's write transaction begins until after it
          has ended.
        - A process takes and frees slots of LMDB's reader table under the reader lock, because
          LMDB guards them by a robust mutex.
        - py-lmdb keeps one ended snapshot with its slot. The next snapshot reuses it and needs no
          lock. A snapshot ends under `ending`, or its slot is taken again later.
        - An interrupt may come at any step, so locks are released also if they may not have been
          taken.

    Attributes:
        files: The two files of the store.
    """

    __slots__ = ("_has_spare", "_locks", "_slots", "files")

    def __init__(self, folder: str) -> None:
        self.files = OpenFiles(folder)
        self._locks: ProcessLocks | None = None
        self._slots = RLock()  # the collector may end a snapshot while its thread begins one
        self._has_spare = False

    @property
    def locks(self) -> ProcessLocks:
        """Locks of this process on the data file."""
        assert self._locks is not None
        return self._locks

    def join(self, *, readonly: bool) -> bool:
        """Check that every process that has the store open uses the same lock file.

        Args:
            readonly: Allow to read the store without its lock file.

        Returns:
            True if this process uses the lock file.

        Raises:
            StoreBusyError: Another process uses another lock file.
        """
        files = self.files
        for _ in range(_ATTEMPTS):
            lock_file = files.open()
            locked = not readonly or can_lock(files.folder)
            locks = ProcessLocks(files.folder, lock_file if locked else None, readonly=readonly)
            # A user who may not write the lock file must know that no process writes.
            trusted = lock_file is not None and not locked
            try:
                if locks.identity() == files.identity and (trusted or locks.join()):
                    self._slots, self._has_spare = RLock(), False
                    self._locks = locks
                    return locked
            finally:
                if self._locks is not locks:
                    locks.close()
            files.check()
            time.sleep(random.uniform(0, RETRY_JITTER))  # noqa: S311 - processes must not keep step
        raise StoreBusyError(
            "other processes have the store open with another lock file",
            path=files.folder,
            processes=holders(files.identity, "OFDLCK"),
            advice="Close it there. Its lock.mdb was deleted while open, or data.mdb is a link.",
        )

    def leave(self) -> None:
        """Release all locks, after the store was closed, or in a forked child."""
        self.files.close()
        locks, self._locks = self._locks, None
        if locks is not None:
            locks.close()

    def acquire_write(self) -> None:
        """Take the write lock. The caller calls `release_write`, also after an error.

        Raises:
            BusyError: Another process holds it.
            LockFileReplacedError: The lock file was deleted or replaced.
            StoreReplacedError: The folder was deleted or replaced.
        """
        if not self.locks.try_acquire_write():
            raise BusyError
        if not self.files.has_lock_file():
            self.files.check()
            # Other processes with the old lock file are safe with it, and no process can join.
            if self.locks.exclude_others():
                raise LockFileReplacedError

    def release_write(self) -> None:
        """Release the write lock, if this process holds it."""
        if self._locks is not None:
            self._locks.release_write()

    def stop_waiting(self) -> None:
        """Show that this process no longer waits for the write lock."""
        if self._locks is not None:
            self._locks.stop_waiting()

    def begin_snapshot(self, env: lmdb.Environment) -> lmdb.Transaction:
        """Begin a read transaction, which must end within `ending`.

        Raises:
            BusyError: Another process holds the reader lock.
            StoreReplacedError: The files were removed, moved or replaced.
        """
        self.files.check()
        with self._slots:
            if self._has_spare:
                try:
                    return env.begin()
                finally:
                    self._has_spare = False
            return self._with_reader_lock(env.begin)

    def ending(self) -> AbstractContextManager[object]:
        """Return the context in which a snapshot ends: the caller drops the last reference, then
        calls `keep_slot`."""
        return nullcontext() if self._locks is None else self._slots

    def keep_slot(self) -> None:
        """Note that a snapshot has ended, whose slot the next snapshot reuses."""
        self._has_spare = self._locks is not None

    def forget_slot(self) -> None:
        """Note that the kept slot is lost, because the map is replaced."""
        with self._slots:
            self._has_spare = False

    def take_slot(self, action: Callable[[], object]) -> None:
        """Call a function that takes a slot of the reader table; wait for the reader lock.

        Args:
            action: Function that returns when it has the slot.

        Raises:
            StoreBusyError: Another process keeps the reader lock.
        """
        wait: LockWait | None = None
        while True:
            try:
                with self._slots:
                    self._with_reader_lock(action)
                return
            except BusyError:
                wait = wait or LockWait(self.files.folder, self.files.identity, writing=False)
            wait.pause()

    def clear_slots(self, env: lmdb.Environment) -> bool:
        """Free the slots of dead processes, unless another process holds the reader lock.

        Returns:
            True if there were any.
        """
        if self._locks is None:
            return False
        try:
            with self._slots:
                return bool(self._with_reader_lock(env.reader_check))
        except BusyError:
            return False

    def _with_reader_lock(self, action: Callable[[], T]) -> T:
        """Call a function under the reader lock; called with `_slots` held.

        Raises:
            BusyError: Another process holds the reader lock.
        """
        locks = self.locks
        try:
            if not locks.acquire_readers():
                raise BusyError
            return action()
        finally:
            locks.release_readers()


def check_numbers(env: lmdb.Environment, folder: str) -> None:
    """Raise StoreReplacedError if the lock file belongs to another data file."""
    before = env.info()["last_txnid"]
    with env.begin() as snapshot:
        number = snapshot.id()
    if number < before - 1 or number > env.info()["last_txnid"]:
        message = "the lock file is in use with another data file"
        raise StoreReplacedError(message, path=folder)


def is_next(stored: int, known: int) -> bool:
    """Return True if the last commit in the data file is the one that the lock file knows.

    A commit writes its number to the data file first, and may be interrupted after that.
    """
    return known <= stored <= known + 1
