"""Who is inside an environment, and how to be alone with it."""

from __future__ import annotations

from threading import Condition, Lock, get_ident
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType


class Gate:
    """Counts the transactions of an environment, and keeps new ones out while it is replaced.

    One transaction per thread: a thread that is inside and waits to be alone waits for itself.

    No lock is taken while nobody wants to be alone. Whoever enters puts itself down first and then
    looks whether the gate is shut; whoever shuts it does so first and then looks who is inside; so
    at least one of them sees the other.
    """

    __slots__ = ("_changed", "_inside", "_lock", "_shut")

    def __init__(self) -> None:
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._inside: set[int] = set()
        self._shut = False

    def enter(self, who: int) -> None:
        """Count a transaction of this thread in.

        Args:
            who: The thread, as `outside` told. If entering is interrupted, `leave` puts it right.
        """
        self._inside.add(who)
        if self._shut:
            self._wait_outside(who)

    def leave(self, who: int) -> None:
        """Count the transaction of the thread `who` out."""
        self._inside.discard(who)
        if self._shut:
            with self._lock:
                self._changed.notify_all()

    def outside(self) -> int:
        """This thread, which has no transaction open; if it has one, raise UsageError."""
        me = get_ident()
        if me in self._inside:
            raise UsageError(
                "this thread already has a transaction of the store open",
                advice="Leave it before reading, writing or closing.",
            )
        return me

    def shut(self, timeout: float | None = None) -> bool:
        """Keep new transactions out and wait until those inside have left.

        Args:
            timeout: Seconds to wait at most; for as long as it takes if None.

        Returns:
            Whether this thread is alone. If not, the time ran out and the gate is as it was.
        """
        self.outside()
        with self._lock:
            if not self._changed.wait_for(lambda: not self._shut, timeout):
                return False
            self._shut = True
            alone = False
            try:
                alone = self._changed.wait_for(lambda: not self._inside, timeout)
            finally:
                if not alone:
                    self._reopen()
        return alone

    def open(self) -> None:
        """Let others in again."""
        with self._lock:
            self._reopen()

    def alone(self) -> Alone:
        """Be alone for the length of a `with` block."""
        return Alone(self)

    def _wait_outside(self, who: int) -> None:
        with self._lock:
            self._inside.discard(who)
            self._changed.notify_all()
            while self._shut:
                self._changed.wait()
            self._inside.add(who)

    def _reopen(self) -> None:
        self._shut = False
        self._changed.notify_all()


class Alone:
    """Shuts a gate on entering and opens it on leaving.

    Not a generator: one that is suspended in another thread when the process forks would be run to
    its end in the child, on locks that nobody there will release.
    """

    __slots__ = ("_gate",)

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        self._gate.shut()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._gate.open()
