"""Pause Python's garbage collector while many objects are created.

A long list of messages is thousands of new objects, and none is garbage. Without the pause the
collector traverses them after every few hundred. `python -m benches run --only history` shows what
that costs: reading a history of 1,000 checkpoints takes 6.0 s without the pause, 4.4 s with it. So
do the values of a call with 100,000 of them: `python -m benches run --only many`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import get_ident
from typing import Final

from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.locks import Lock

_MANY: Final = 100
"""Values that are handled without the collector: about a thousand objects."""


def paused_for(values: int) -> AbstractContextManager[None]:
    """Pause the collector, as `paused` does, if there are many values to handle."""
    return paused() if values >= _MANY else nullcontext()


@contextmanager
def paused() -> Iterator[None]:
    """Pause the collector in the whole process, for milliseconds of work that creates no garbage.

    A collector that is disabled remains disabled.
    """
    thread = get_ident()
    if _pause.holds(thread):
        yield
        return
    try:
        _pause.begin(thread)
        yield
    finally:
        _pause.end(thread)


class _Pause:
    """The pause of all threads: the first one disables the collector, the last one enables it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads: set[int] = set()
        self._resume = False
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Enable the collector in a forked child, if another thread had disabled it."""
        if self._threads and self._resume:
            gc.enable()
        self._lock = Lock()
        self._threads = set()
        self._resume = False

    def holds(self, thread: int) -> bool:
        """Return True if the thread is in a pause, or is beginning or ending one."""
        return thread in self._threads or self._lock.is_held()

    def begin(self, thread: int) -> None:
        with self._lock:
            if not self._threads:
                self._resume = gc.isenabled()
            self._threads.add(thread)
            gc.disable()

    def end(self, thread: int) -> None:
        with self._lock:
            self._threads.discard(thread)
            if not self._threads and self._resume:
                gc.enable()
                self._resume = False


_pause = _Pause()
