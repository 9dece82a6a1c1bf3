"""A shared/exclusive lock for the LMDB environment.

Transactions hold it shared. Resizing, reopening, closing and forking hold it exclusively.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident
from time import monotonic, sleep
from typing import Final, TypeVar

from langgraph.checkpoint.lmdb.errors import RetryableError, UsageError
from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.locks import Lock, in_use

T = TypeVar("T")

_POLL: Final = 0.001  # seconds
_PATIENCE: Final = 0.05  # seconds that new transactions wait for open ones: at first, and at most
_MAX_PATIENCE: Final = 0.5
_RESPITE: Final = 20  # new transactions may begin for this many times as long in between


class SharedLock:
    """A lock that any number of transactions hold, or one thread alone.

    A thread has one transaction at a time: with a second one it would wait for itself.

    Invariants:
        - Without contention, a transaction takes no lock. A transaction adds itself first and then
          looks for an exclusive holder. An exclusive holder shows itself first and then looks for
          transactions. So at least one of the two sees the other.
        - Waiting threads poll, which is rare and short. So an interrupt at any step leaves no
          thread asleep.
    """

    __slots__ = ("_exclusive", "_owners", "_turn")

    def __init__(self) -> None:
        self._owners: set[int] = set()
        self._exclusive = False
        self._turn = Lock()
        """Held by the thread that holds this lock exclusively, or waits for that."""

    def acquire_shared(self, owner: int) -> None:
        """Hold the lock for a transaction of this thread.

        Args:
            owner: The thread, from `check_not_held`. If this call is interrupted, the caller calls
                `release_shared`.
        """
        self._owners.add(owner)
        while self._exclusive or forking.pending:
            self._owners.discard(owner)
            if forking.pending:
                forking.wait()
            else:
                sleep(_POLL)
            self._owners.add(owner)

    def release_shared(self, owner: int) -> None:
        """Release the lock for the transaction of a thread."""
        self._owners.discard(owner)

    def is_held_by(self, owner: int) -> bool:
        """Return True if a transaction of a thread holds the lock."""
        return owner in self._owners

    def is_exclusive(self) -> bool:
        """Return True if a thread holds the lock exclusively, or waits for that."""
        return self._exclusive

    def check_not_held(self) -> int:
        """Return this thread, if it does not hold the lock.

        Raises:
            UsageError: It has a transaction open, or this call interrupts an exclusive holder.
        """
        me = get_ident()
        if me in self._owners:
            raise UsageError(
                "this thread already has a transaction of the store open",
                advice="Leave it before reading, writing or closing. In a signal handler, set a "
                "flag, and use the store after the handler has returned.",
            )
        if self._turn.is_held():
            raise in_use()
        if forking.pending:
            forking.check()
        return me

    def exclusive(self, action: Callable[[], T], timeout: float | None = None) -> T:
        """Call a function while no transaction is open, and return its result.

        New transactions wait while the open ones end, for a short time. If an open one lasts
        longer, new ones may begin in between.

        Args:
            action: Function to call in this thread.
            timeout: Seconds to wait for open transactions, or None to wait without a limit.

        Raises:
            UsageError: This thread has a transaction open.
            RetryableError: A transaction was open for too long.
        """
        self.check_not_held()
        start, patience = monotonic(), _PATIENCE
        while True:
            if forking.pending:
                forking.wait()
            with self._turn:
                try:
                    self._exclusive = True
                    _wait_until(lambda: not self._owners or forking.pending, patience)
                    if forking.pending:
                        continue
                    owners = set(self._owners)
                    if not owners:
                        return action()
                finally:
                    self._exclusive = False
            if timeout is not None and monotonic() - start >= timeout:
                message = f"another thread has been reading the store for {timeout:.0f} seconds"
                raise RetryableError(message, advice="Let it end, then call again.")
            _wait_until(partial(owners.isdisjoint, self._owners), _RESPITE * patience)
            patience = min(2 * patience, _MAX_PATIENCE)

    def try_exclusive(self, action: Callable[[], object]) -> bool:
        """Call a function if no transaction is open and no wait is needed; return True if called.

        A finalizer may call this at any moment, also in a thread that holds the lock.
        """
        if self._turn.is_held() or forking.pending:
            return False
        try:
            if not self._turn.acquire(blocking=False):
                return False
            self._exclusive = True
            if self._owners or forking.pending:
                return False
            action()
            return True
        finally:
            if self._turn.is_held():
                self._exclusive = False
                self._turn.release()

    def exclusive_before_fork(self, action: Callable[[], object], end: float) -> None:
        """Call a function if no transaction is open at the time `end`, or before.

        Called while `forking.pending` keeps new transactions out.
        """
        me = get_ident()
        if me in self._owners or self._turn.is_held():
            return
        with self._turn:
            if _wait_until(lambda: not self._owners, end - monotonic()):
                action()


def _wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Wait for a condition, at most `timeout` seconds; return True if it is met."""
    end = monotonic() + timeout
    while not condition():
        if monotonic() >= end:
            return False
        sleep(_POLL)
    return True
