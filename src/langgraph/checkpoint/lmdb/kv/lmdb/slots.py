"""The slots that a process has in LMDB's reader table.

To take a slot LMDB locks a mutex that all processes share, so that is done at the table turn only.
py-lmdb keeps one snapshot that has ended, with its slot, for the next one to begin: then no slot
has to be taken. Most processes read one snapshot at a time and take a slot once.
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import lmdb

    from langgraph.checkpoint.lmdb.kv.lmdb.kernel_locks import KernelLocks


class Slots:
    """Begins and ends the snapshots of one environment of LMDB's.

    A snapshot ends while its thread holds `lock`: there the last reference is given up, and `keep`
    is called. One that ends elsewhere is harmless: a slot is then taken at the next turn, though
    there is one to reuse.

    An interrupt may come at any step, so the lock is the interpreter's own, and the table turn is
    given back also where it may not have been taken.

    Args:
        locks: Those of the data file. The environment is opened with `max_spare_txns=1`.

    Attributes:
        lock: Held by the thread that begins or ends a snapshot.
    """

    __slots__ = ("_locks", "_spare", "lock")

    def __init__(self, locks: KernelLocks) -> None:
        self._locks = locks
        self.lock = RLock()  # the collector may end a snapshot while this thread begins one
        self._spare = False

    def begin(self, env: lmdb.Environment) -> lmdb.Transaction | None:
        """Begin a snapshot; None if another process has the table turn."""
        with self.lock:
            if self._spare:
                try:
                    return env.begin()
                finally:
                    self._spare = False
            try:
                return env.begin() if self._locks.take_table() else None
            finally:
                self._locks.give_table()

    def clear(self, env: lmdb.Environment) -> bool:
        """Free the slots of readers that died, unless another process has the table turn.

        Returns:
            Whether there were any.
        """
        with self.lock:
            try:
                return self._locks.take_table() and bool(env.reader_check())
            finally:
                self._locks.give_table()

    def run(self, action: Callable[[], object]) -> bool:
        """Do what takes a slot outside of this class; False if another process has the table turn.

        Args:
            action: Returns when the slot is taken.
        """
        with self.lock:
            try:
                if not self._locks.take_table():
                    return False
                action()
                return True
            finally:
                self._locks.give_table()

    def keep(self) -> None:
        """Note that a snapshot has ended, whose slot the next one uses."""
        self._spare = True

    def delete_records(self) -> None:
        """Forget the snapshot that was kept: a map that is replaced ends it."""
        with self.lock:
            self._spare = False
