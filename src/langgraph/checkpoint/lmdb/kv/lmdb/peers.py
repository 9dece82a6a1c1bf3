"""Sharing a store with other processes: taking turns, and using the same two files.

LMDB keeps the number of the last commit, and who reads what, in the lock file. Two processes with
two lock files for one data file do not see each other's commits and overwrite them. That happens
when the lock file is deleted while the store is open, or when the data file is a link. Two data
files with one lock file are as bad. That happens when the data file is replaced while open.
"""

from __future__ import annotations

import random
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from langgraph.checkpoint.lmdb.errors import StoreBusyError, StoreReplacedError
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.kernel_locks import KernelLocks, holders
from langgraph.checkpoint.lmdb.kv.lmdb.patience import Patience
from langgraph.checkpoint.lmdb.kv.lmdb.place import ThreadVersion
from langgraph.checkpoint.lmdb.kv.lmdb.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import lmdb

_ATTEMPTS: Final = 32
RETRY_JITTER: Final = 0.02  # seconds within which processes that refused one another try again


class BusyError(Exception):
    """Another process has the turn."""


class StaleError(Exception):
    """The lock file is not the store's any more: the environment has to be opened anew."""


class Peers:
    """The part of one open store that concerns other processes.

    Every method but `join` is for a store that has joined.

    Attributes:
        place: Where the files are.
    """

    __slots__ = ("_locks", "_slots", "place")

    def __init__(self, folder: str) -> None:
        self.place = ThreadVersion(folder)
        self._locks: KernelLocks | None = None
        self._slots: Slots | None = None

    @property
    def locks(self) -> KernelLocks:
        """This process's locks on the data file."""
        assert self._locks is not None
        return self._locks

    def join(self, *, readonly: bool) -> bool:
        """See that every process that has the store open uses the same lock file.

        Args:
            readonly: Whether the store may be read without its lock file.

        Returns:
            Whether this process uses the lock file.

        Raises:
            StoreBusyError: Another process uses another lock file.
        """
        place = self.place
        for _ in range(_ATTEMPTS):
            lock_file = place.open()
            locked = not readonly or files.can_lock(place.folder)
            locks = KernelLocks(place.folder, lock_file if locked else None, readonly=readonly)
            # A user who may not write the lock file has to know that no process writes.
            trusted = lock_file is not None and not locked
            try:
                if locks.identity() == place.identity and (trusted or locks.join()):
                    self._locks, self._slots = locks, Slots(locks)
                    return locked
            finally:
                if self._locks is not locks:
                    locks.close()
            place.check()
            time.sleep(random.uniform(0, RETRY_JITTER))  # noqa: S311 - only to be apart
        raise StoreBusyError(
            "other processes have the store open with another lock file",
            path=place.folder,
            processes=holders(place.identity, "OFDLCK"),
            advice="Close it there. Its lock.mdb was deleted while open, or data.mdb is a link.",
        )

    def leave(self) -> None:
        """Release all, after the store was closed, or in a child whose parent goes on with it."""
        self.place.close()
        locks, self._locks, self._slots = self._locks, None, None
        if locks is not None:
            locks.close()

    def take_write(self) -> None:
        """Take the write turn, so that this process does not wait for LMDB's mutex.

        Also if this fails, `give_write` has to follow.

        Raises:
            BusyError: Another process has it.
            StaleError: The lock file was deleted or replaced.
            StoreReplacedError: The folder was.
        """
        if not self.locks.take_write():
            raise BusyError
        if not self.place.has_lock_file():
            self.place.check()
            # Others that have the old lock file open are safe with it, and no process can join.
            if self.locks.is_sole():
                raise StaleError

    def give_write(self) -> None:
        """Release the write turn, if this process holds it."""
        if self._locks is not None:
            self._locks.give_write()

    def stop_waiting(self) -> None:
        """No longer try to take the write turn."""
        if self._locks is not None:
            self._locks.stop_waiting()

    def begin_snapshot(self, env: lmdb.Environment) -> lmdb.Transaction:
        """Begin a read transaction, which has to end within `ending`.

        Raises:
            BusyError: Another process changes the reader table.
            StoreReplacedError: The store is not where it was.
        """
        assert self._slots is not None
        self.place.check()
        transaction = self._slots.begin(env)
        if transaction is None:
            raise BusyError
        return transaction

    def ending(self) -> AbstractContextManager[object]:
        """Where a read transaction ends: its last reference is given up within, then `keep_slot`
        is called."""
        return nullcontext() if self._slots is None else self._slots.lock

    def keep_slot(self) -> None:
        """Note that a read transaction has ended, whose slot the next one uses."""
        if self._slots is not None:
            self._slots.keep()

    def take_slot(self, action: Callable[[], object]) -> None:
        """Do what takes a slot of the reader table by itself; wait for the turn.

        Args:
            action: Returns when the slot is taken.

        Raises:
            StoreBusyError: Another process keeps the turn.
        """
        slots = self._slots
        assert slots is not None
        patience: Patience | None = None
        while not slots.run(action):
            patience = patience or Patience(self.place.folder, self.place.identity, writing=False)
            patience.pause()

    def forget_slot(self) -> None:
        """Forget the snapshot that was kept: a map that is replaced ends it."""
        if self._slots is not None:
            self._slots.delete_records()

    def clear_slots(self, env: lmdb.Environment) -> bool:
        """Free the slots of readers that died, unless another process has the turn.

        Returns:
            Whether there were any.
        """
        return self._slots is not None and self._slots.clear(env)


def check_numbers(env: lmdb.Environment, folder: str) -> None:
    """Raise StoreReplacedError if the lock file belongs to another data file."""
    before = env.info()["last_txnid"]
    with env.begin() as snapshot:
        number = snapshot.id()
    if number < before - 1 or number > env.info()["last_txnid"]:
        message = "the lock file is in use with another data file"
        raise StoreReplacedError(message, path=folder)


def fit(stored: int, known: int) -> bool:
    """Whether the last commit in the data file is the one that the lock file knows.

    A commit writes its number to the data file first, and may be cut short after that.
    """
    return known <= stored <= known + 1
