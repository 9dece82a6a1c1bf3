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
    """

    __slots__ = ("_changed", "_inside", "_lock", "_shut")

    def __init__(self) -> None:
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._inside: set[int] = set()
        self._shut = False

    def enter(self) -> int:
        """Count a transaction of this thread in; what to give to `leave`."""
        me = get_ident()
        with self._lock:
            if me in self._inside:
                raise _nested()
            while self._shut:
                self._changed.wait()
            self._inside.add(me)
        return me

    def leave(self, who: int) -> None:
        """Count the transaction of the thread `who` out."""
        with self._lock:
            self._inside.discard(who)
            if self._shut:
                self._changed.notify_all()

    def check_outside(self) -> None:
        """Raise UsageError if this thread has a transaction open."""
        if get_ident() in self._inside:
            raise _nested()

    def shut(self, timeout: float | None = None) -> bool:
        """Keep new transactions out and wait until those inside have left.

        Args:
            timeout: Seconds to wait at most; for as long as it takes if None.

        Returns:
            Whether this thread is alone. If not, the time ran out and the gate is as it was.
        """
        self.check_outside()
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


def _nested() -> UsageError:
    return UsageError(
        "this thread already has a transaction of the store open",
        advice="Leave it before reading, writing or closing.",
    )
