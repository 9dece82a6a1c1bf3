"""Sweeping in the background: one daemon thread for each store of a process."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb import retention
from langgraph.checkpoint.lmdb.core import simple
from langgraph.checkpoint.lmdb.engine import sweep
from langgraph.checkpoint.lmdb.errors import StoreClosedError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from langgraph.checkpoint.lmdb.core import SaverCore

_logger = logging.getLogger(__name__)
_LONGEST_WAIT = 3600.0
"""Seconds: no operating system's timer has to be trusted for longer."""


class Sweeper:
    """Sweeps one store, by the rules of each of its savers that asked for it.

    Of several processes with the same store, one at a time sweeps: a record of the store says
    which. Whatever goes wrong is logged, and tried again after the interval.
    """

    def __init__(self) -> None:
        self._cores: list[tuple[weakref.ref[SaverCore], int]] = []
        self.start()

    def start(self) -> None:
        """Begin, also in a forked child, where the thread is not."""
        self._token = os.urandom(8)
        self._wake = threading.Event()
        self._stopped = False
        threading.Thread(target=self._serve, name="lmdb-saver-sweep", daemon=True).start()

    def add(self, core: SaverCore, interval: int) -> None:
        """Sweep by the rules of a core, every so many milliseconds."""
        self._cores.append((weakref.ref(core), interval))
        self._wake.set()

    def remove(self, core: SaverCore) -> bool:
        """Sweep no more by the rules of a core; whether it was the last one."""
        self._cores = [
            (ref, interval) for ref, interval in self._cores if ref() not in (core, None)
        ]
        self._stopped = not self._cores
        if self._stopped:
            self._wake.set()
        return self._stopped

    def _serve(self) -> None:
        while not self._stopped:
            waits = [self.turn(core, interval) for core, interval in self._living()]
            if not waits and self._cores:
                return  # nobody has the store any more, though nobody closed it
            self._wake.wait(min((wait / 1000 for wait in waits), default=_LONGEST_WAIT))
            self._wake.clear()

    def _living(self) -> list[tuple[SaverCore, int]]:
        found = ((ref(), interval) for ref, interval in self._cores)
        return [(core, interval) for core, interval in found if core is not None]

    def turn(self, core: SaverCore, interval: int) -> int:
        """Sweep if it is time to; returns the milliseconds until the next turn."""
        try:
            claim = simple(sweep.claim(self._token, core.store.settings.now(), interval))
            wait: int = core.run(claim)
            if wait:
                return wait
            core.run_all(retention.sweep(core, None, None, False))
            core.run(simple(sweep.finish(self._token, core.store.settings.now())))
        except StoreClosedError:
            self.remove(core)
        except Exception:
            _logger.warning("sweeping failed; the next try is later", exc_info=True)
        return interval


_lock = threading.Lock()
_sweepers: dict[Hashable, Sweeper] = {}


def start(store: Hashable, core: SaverCore, interval: int) -> None:
    """Sweep a store in the background from now on.

    Args:
        store: Tells stores apart.
        core: By whose rules.
        interval: Milliseconds between two sweeps.
    """
    with _lock:
        sweeper = _sweepers.get(store)
        if sweeper is None:
            sweeper = _sweepers[store] = Sweeper()
        sweeper.add(core, interval)


def stop(store: Hashable, core: SaverCore) -> None:
    """Sweep no more by the rules of a core."""
    with _lock:
        sweeper = _sweepers.get(store)
        if sweeper is not None and sweeper.remove(core):
            del _sweepers[store]


def _after_fork() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    for sweeper in _sweepers.values():
        sweeper.start()


os.register_at_fork(after_in_child=_after_fork)
