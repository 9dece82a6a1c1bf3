"""Who is inside an environment, and how to be alone with it."""

from __future__ import annotations

from threading import Condition, Lock, get_ident
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType


class SharedLock:
    """Counts the transactions of an environment, and keeps new ones out while it is replaced.

    One transaction per thread: a thread that is inside and waits to be alone waits for itself.

    No lock is taken while nobody wants to be alone. Whoever enters puts itself down first and then
    looks whether the gate is shut; whoever shuts it does so first and then looks who is inside; so
    at least one of them sees the other.
    """

    __slots__ = ("_changed", "_exclusive", "_lock", "_owners")

    def __init__(self) -> None:
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._owners: set[int] = set()
        self._exclusive = False

    def acquire_shared(self, owner: int) -> None:
        """Count a transaction of this thread in.

        Args:
            owner: The thread, as `check_not_held` returned it. If this call is interrupted, the
                caller calls `release_shared`.
        """
        self._owners.add(owner)
        if self._exclusive:
            self._wait_outside(owner)

    def release_shared(self, owner: int) -> None:
        """Count the transaction of the thread `owner` out."""
        self._owners.discard(owner)
        if self._exclusive:
            with self._lock:
                self._changed.notify_all()

    def check_not_held(self) -> int:
        """This thread, which has no transaction open; if it has one, raise UsageError."""
        me = get_ident()
        if me in self._owners:
            raise UsageError(
                "this thread already has a transaction of the store open",
                advice="Leave it before reading, writing or closing.",
            )
        return me

    def acquire_exclusive(self, timeout: float | None = None) -> bool:
        """Keep new transactions out and wait until those inside have left.

        Args:
            timeout: Seconds to wait at most; for as long as it takes if None.

        Returns:
            Whether this thread is alone. If not, the time ran out and the gate is as it was.
        """
        self.check_not_held()
        with self._lock:
            if not self._changed.wait_for(lambda: not self._exclusive, timeout):
                return False
            self._exclusive = True
            exclusive = False
            try:
                exclusive = self._changed.wait_for(lambda: not self._owners, timeout)
            finally:
                if not exclusive:
                    self._release()
        return exclusive

    def release_exclusive(self) -> None:
        """Let others in again."""
        with self._lock:
            self._release()

    def exclusive(self) -> ExclusiveLock:
        """Be alone for the length of a `with` block."""
        return ExclusiveLock(self)

    def _wait_outside(self, owner: int) -> None:
        with self._lock:
            self._owners.discard(owner)
            self._changed.notify_all()
            while self._exclusive:
                self._changed.wait()
            self._owners.add(owner)

    def _release(self) -> None:
        self._exclusive = False
        self._changed.notify_all()


class ExclusiveLock:
    """Shuts a gate on entering and opens it on leaving.

    Not a generator: one that is suspended in another thread when the process forks would be run to
    its end in the child, on locks that nobody there will release.
    """

    __slots__ = ("_gate",)

    def __init__(self, gate: SharedLock) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        self._gate.acquire_exclusive()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._gate.release_exclusive()
