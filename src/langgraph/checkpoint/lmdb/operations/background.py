"""Sweeping in the background: one daemon thread for each store of a process."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import sweep
from langgraph.checkpoint.lmdb.errors import LmdbSaverError, StoreClosedError
from langgraph.checkpoint.lmdb.operations import retention
from langgraph.checkpoint.lmdb.operations.session import simple

if TYPE_CHECKING:
    from collections.abc import Hashable

    from langgraph.checkpoint.lmdb.kv.base import Writer
    from langgraph.checkpoint.lmdb.operations.session import SaverCore

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
        self._claims = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=self._serve, name="lmdb-saver-sweep", daemon=True).start()

    def add(self, core: SaverCore, interval: int) -> None:
        """Sweep by the rules of a core, every so many milliseconds."""
        # A queue may be put to from wherever the last reference to a core goes, unlike an event.
        ref = weakref.ref(core, lambda _: self._wake.put(None))
        self._cores.append((ref, interval))
        self._wake.put(None)

    def remove(self, core: SaverCore) -> bool:
        """Sweep no more by the rules of a core; returns whether it was one to sweep by."""
        had = self._has(core)
        self._cores = [
            (ref, interval) for ref, interval in self._cores if ref() not in (core, None)
        ]
        self._wake.put(None)
        return had

    def release(self, core: SaverCore) -> None:
        """Let another process sweep at once, if the removal of a core interrupts sweeping."""
        if self._claims:
            try:
                core.run(simple(sweep.finish(self._token, None)))
            except LmdbSaverError:
                _logger.warning("others sweep when the lease is over", exc_info=True)

    def _serve(self) -> None:
        wake = self._wake
        while not self._ends():
            wait = self.turn() / 1000
            with suppress(Empty):
                wake.get(timeout=min(wait, _LONGEST_WAIT))

    def _ends(self) -> bool:
        """Whether nobody has the store any more; whoever opens it then starts another sweeper."""
        with _lock:
            if self._living():
                return False
            for store in [store for store, sweeper in _sweepers.items() if sweeper is self]:
                del _sweepers[store]
            return True

    def _living(self) -> list[tuple[SaverCore, int]]:
        found = ((ref(), interval) for ref, interval in self._cores)
        return [(core, interval) for core, interval in found if core is not None]

    def _has(self, core: SaverCore) -> bool:
        return any(one is core for one, _ in self._living())

    def turn(self) -> int:
        """Sweep if it is time to; returns the milliseconds until the next turn."""
        cores = self._living()
        interval = min((interval for _, interval in cores), default=0)
        core = None
        try:
            for core, _ in cores[:1]:
                self._claims = True
                wait = self._claim(core, interval)
                if wait:
                    self._claims = False
                    return wait
            for core, _ in cores:
                core.run_all(retention.sweep(core, None, None, False))
            for core, _ in cores[:1]:
                core.run(simple(sweep.finish(self._token, core.store.settings.now())))
        except StoreClosedError:
            if core is not None:
                with _lock:
                    self.remove(core)
        except Exception:
            _logger.warning("sweeping failed; the next try is later", exc_info=True)
        else:
            self._claims = False
        return interval

    def _claim(self, core: SaverCore, interval: int) -> int:
        claim = sweep.claim(self._token, core.store.settings.now(), interval)

        def apply(writer: Writer) -> int:
            # A core is removed before its lease is released, and claims none after that.
            return claim(writer) if self._has(core) else interval

        wait: int = core.run(simple(apply))
        return wait


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
        if sweeper is None or not sweeper.remove(core):
            return
    sweeper.release(core)


def after_fork() -> None:
    """Begin in a forked child, once what sweeping uses has begun there."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    for sweeper in _sweepers.values():
        sweeper.start()
