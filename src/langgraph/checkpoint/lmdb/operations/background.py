"""Sweeping in the background: one daemon thread for each store of a process."""

from __future__ import annotations

import logging
import os
import weakref
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import sweep
from langgraph.checkpoint.lmdb.errors import LmdbSaverError, RetryableError, StoreClosedError
from langgraph.checkpoint.lmdb.kv import workers
from langgraph.checkpoint.lmdb.kv.locks import Lock
from langgraph.checkpoint.lmdb.operations import retention
from langgraph.checkpoint.lmdb.operations.session import simple

if TYPE_CHECKING:
    from collections.abc import Hashable

    from langgraph.checkpoint.lmdb.kv.base import Writer
    from langgraph.checkpoint.lmdb.operations.session import Session

_logger = logging.getLogger(__name__)
_LONGEST_WAIT = 3600.0
"""Seconds: no operating system's timer has to be trusted for longer."""


class Sweeper:
    """Sweeps one store, by the rules of each of its savers that asked for it.

    Of several processes with the same store, one at a time sweeps: a record of the store says
    which. Whatever goes wrong is logged, and tried again after the interval.
    """

    def __init__(self) -> None:
        self._cores: list[tuple[weakref.ref[Session], int]] = []
        self.start()

    def start(self) -> None:
        """Begin, also in a forked child, where the thread is not."""
        self._token = os.urandom(8)
        self._claims = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        workers.start(Thread(target=self._serve, name="lmdb-saver-sweep", daemon=True))

    def add(self, session: Session, interval: int) -> None:
        """Sweep by the rules of a core, every so many milliseconds."""
        # A queue may be put to from wherever the last reference to a core goes, unlike an event.
        ref = weakref.ref(session, lambda _: self._wake.put(None))
        self._cores.append((ref, interval))
        self._wake.put(None)

    def remove(self, session: Session) -> bool:
        """Sweep no more by the rules of a core; returns whether it was one to sweep by."""
        had = self._has(session)
        self._cores = [
            (ref, interval) for ref, interval in self._cores if ref() not in (session, None)
        ]
        self._wake.put(None)
        return had

    def release(self, session: Session) -> None:
        """Let another process sweep at once, if the removal of a core interrupts sweeping."""
        if self._claims:
            try:
                session.run(simple(sweep.finish(self._token, None)))
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

    def _living(self) -> list[tuple[Session, int]]:
        found = ((ref(), interval) for ref, interval in self._cores)
        return [(session, interval) for session, interval in found if session is not None]

    def _has(self, session: Session) -> bool:
        return any(one is session for one, _ in self._living())

    def turn(self) -> int:
        """Sweep if it is time to; returns the milliseconds until the next turn."""
        cores = self._living()
        interval = min((interval for _, interval in cores), default=0)
        session = None
        try:
            for session, _ in cores[:1]:
                self._claims = True
                wait = self._claim(session, interval)
                if wait:
                    self._claims = False
                    return wait
            for session, _ in cores:
                session.run_sequence(retention.sweep(session, None, None, False))
            for session, _ in cores[:1]:
                session.run(simple(sweep.finish(self._token, session.store.options.now())))
        except StoreClosedError:
            if session is not None:
                with _lock:
                    self.remove(session)
        except Exception:
            _logger.warning("sweeping failed; the next try is later", exc_info=True)
        else:
            self._claims = False
        return interval

    def _claim(self, session: Session, interval: int) -> int:
        claim = sweep.claim(self._token, session.store.options.now(), interval)

        def apply(writer: Writer) -> int:
            # A core is removed before its lease is released, and claims none after that.
            return claim(writer) if self._has(session) else interval

        wait: int = session.run(simple(apply))
        return wait


_lock = Lock()
_sweepers: dict[Hashable, Sweeper] = {}


def start(store: Hashable, session: Session, interval: int) -> None:
    """Sweep a store in the background from now on.

    Args:
        store: Tells stores apart.
        core: By whose rules.
        interval: Milliseconds between two sweeps.

    Raises:
        RetryableError: The thread that sweeps cannot be started.
    """
    _lock.check_free()
    with _lock:
        sweeper = _sweepers.get(store)
        if sweeper is None:
            sweeper = _sweepers[store] = Sweeper()
        sweeper.add(session, interval)


def stop(store: Hashable, session: Session) -> None:
    """Sweep no more by the rules of a core."""
    _lock.check_free()
    with _lock:
        sweeper = _sweepers.get(store)
        if sweeper is None or not sweeper.remove(session):
            return
    sweeper.release(session)


def after_fork() -> None:
    """Begin in a forked child, once what sweeping uses has begun there.

    Where a thread cannot be started, the child does not sweep.
    """
    global _lock  # noqa: PLW0603
    _lock = Lock()
    for sweeper in _sweepers.values():
        try:
            sweeper.start()
        except RetryableError:
            _logger.warning("this process does not sweep", exc_info=True)
