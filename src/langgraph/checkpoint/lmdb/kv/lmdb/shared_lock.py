"""Who is inside an environment, and how to be alone with it."""

from __future__ import annotations

from functools import partial
from threading import get_ident
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, TypeVar

from langgraph.checkpoint.lmdb.errors import RetryableError, UsageError
from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.locks import Lock, in_use

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_POLL: Final = 0.001
# Seconds that new transactions wait for old ones to end: at first, and at most.
_PATIENCE: Final = 0.05
_MOST_PATIENCE: Final = 0.5
# How many times as long they are let in again, while an old one lasts.
_RESPITE: Final = 20


class SharedLock:
    """Counts the transactions of an environment, and keeps new ones out while it is replaced.

    One transaction per thread: a thread that is inside and waits to be alone waits for itself.

    Whoever enters puts itself down first and then looks whether the gate is shut; whoever shuts it
    does so first and then looks who is inside; so at least one of them sees the other. Waiting
    threads look again and again instead of being woken, which is rare and short: an interrupt can
    come at any step and leaves none of them asleep.
    """

    __slots__ = ("_exclusive", "_owners", "_turn")

    def __init__(self) -> None:
        self._owners: set[int] = set()
        self._exclusive = False
        self._turn = Lock()
        """Held by the thread that is alone, or is about to be."""

    def acquire_shared(self, owner: int) -> None:
        """Count a transaction of this thread in.

        Args:
            owner: The thread, as `check_not_held` returned it. If this call is interrupted, the
                caller calls `release_shared`.
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
        """Count the transaction of the thread `owner` out."""
        self._owners.discard(owner)

    def is_inside(self, owner: int) -> bool:
        """Return whether a transaction of the thread `owner` is counted in."""
        return owner in self._owners

    def check_not_held(self) -> int:
        """Return this thread, if it has no transaction open and is not alone.

        Raises:
            UsageError: It has a transaction open, or this call interrupts one that is alone.
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
        """Call `action` while no transaction is open, and return what it returned.

        New transactions wait until those inside have ended and `action` has returned. While an old
        one lasts they are let in, and wait only for a moment now and then.

        Args:
            action: Called by this thread.
            timeout: Seconds to wait for old transactions at most; as long as it takes if None.

        Raises:
            UsageError: This thread is inside.
            RetryableError: The time ran out.
        """
        self.check_not_held()
        start, patience = monotonic(), _PATIENCE
        while True:
            if forking.pending:
                forking.wait()
            with self._turn:
                try:
                    self._exclusive = True
                    _until(lambda: not self._owners or forking.pending, patience)
                    if forking.pending:
                        continue
                    inside = set(self._owners)
                    if not inside:
                        return action()
                finally:
                    self._exclusive = False
            if timeout is not None and monotonic() - start >= timeout:
                message = f"another thread has been reading the store for {timeout:.0f} seconds"
                raise RetryableError(message, advice="Let it end, then call again.")
            _until(partial(inside.isdisjoint, self._owners), _RESPITE * patience)
            patience = min(2 * patience, _MOST_PATIENCE)

    def alone_at_once(self, action: Callable[[], object]) -> bool:
        """Call `action` if no transaction is open and no waiting is needed; return whether it was.

        It may be called at any moment, as finalizers are: also inside, and by a thread that is
        alone.
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

    def alone_before_fork(self, action: Callable[[], object], end: float) -> None:
        """Call `action` if no transaction is open, or none is before the time `end`.

        Called while `forking.pending` keeps new transactions out.
        """
        me = get_ident()
        if me in self._owners or self._turn.is_held():
            return
        with self._turn:
            if _until(lambda: not self._owners, end - monotonic()):
                action()

    def is_shut(self) -> bool:
        """Return whether a thread is alone, or about to be."""
        return self._exclusive


def _until(met: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition is met, for so many seconds at most; return whether it is."""
    end = monotonic() + seconds
    while not met():
        if monotonic() >= end:
            return False
        sleep(_POLL)
    return True
