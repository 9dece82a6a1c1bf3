"""Keeping Python's garbage collector from looking at what is just being made.

A list of messages is thousands of new objects, none of them garbage. The collector would go through
them every few hundred, for nothing. What it still costs shows in `python -m benches run --only
history`, where the caller keeps all that was read.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Pause:
    """Whoever comes first turns the collector off, whoever leaves last turns it on again."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads: set[int] = set()
        self._resume = False
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Turn it on in a child that was forked while another thread had turned it off."""
        if self._threads and self._resume:
            gc.enable()
        self._lock = Lock()
        self._threads = set()
        self._resume = False

    def holds(self, thread: int) -> bool:
        """Return whether the thread has turned it off, or is about to."""
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


@contextmanager
def paused() -> Iterator[None]:
    """Collect nothing in this process meanwhile; for milliseconds of work that makes no garbage.
    A collector that is turned off stays off."""
    me = get_ident()
    if _pause.holds(me):
        yield
        return
    try:
        _pause.begin(me)
        yield
    finally:
        _pause.end(me)
