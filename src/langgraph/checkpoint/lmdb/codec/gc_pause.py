"""Keeping Python's garbage collector from looking at what is just being made.

A list of messages is thousands of new objects, none of them garbage. The collector would go through
them every few hundred, for nothing. What it still costs shows in `python -m benches run --only
history`, where the caller keeps all that was read.
"""

from __future__ import annotations

import gc
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Pause:
    """Whoever comes first turns the collector off, whoever leaves last turns it on again."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._resume = False

    def begin(self) -> None:
        with self._lock:
            if not self._users:
                self._resume = gc.isenabled()
                gc.disable()
            self._users += 1

    def end(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._resume:
                gc.enable()

    def after_fork(self) -> None:
        """Turn it on in a child that was forked while another thread had turned it off."""
        resume = self._users and self._resume
        self.reset()
        if resume:
            gc.enable()


_pause = _Pause()
os.register_at_fork(after_in_child=_pause.after_fork)


@contextmanager
def paused() -> Iterator[None]:
    """Collect nothing in this process meanwhile; for milliseconds of work that makes no garbage.
    A collector that is turned off stays off."""
    _pause.begin()
    try:
        yield
    finally:
        _pause.end()
