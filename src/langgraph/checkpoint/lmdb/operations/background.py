"""Background sweeping: one daemon thread for each store of a process."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Hashable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

from langgraph.checkpoint.lmdb.engine import leases
from langgraph.checkpoint.lmdb.errors import LmdbSaverError, RetryableError, StoreClosedError
from langgraph.checkpoint.lmdb.kv import workers
from langgraph.checkpoint.lmdb.kv.base import Writer
from langgraph.checkpoint.lmdb.kv.locks import Lock
from langgraph.checkpoint.lmdb.operations import retention
from langgraph.checkpoint.lmdb.operations.session import Session, simple

_MAX_WAIT_S = 3600.0
"""Longest wait for one timer, in seconds. A longer interval waits several times."""
_logger = logging.getLogger(__name__)
_lock = Lock()
_sweepers: dict[Hashable, Sweeper] = {}


def start(store: Hashable, session: Session, interval: int) -> None:
    """Start to sweep a store in the background.

    Args:
        store: The identity of the store.
        session: The session of the saver whose retention policy applies.
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
    """Stop sweeping a store by the policy of a session."""
    _lock.check_free()
    with _lock:
        sweeper = _sweepers.get(store)
        if sweeper is None or not sweeper.remove(session):
            return
    sweeper.release_lease(session)


def after_fork() -> None:
    """Start the threads of all sweepers in a forked child.

    The locks and threads that sweeping uses must have been reset before. A child whose thread
    cannot be started does not sweep.
    """
    global _lock  # noqa: PLW0603
    _lock = Lock()
    for sweeper in _sweepers.values():
        try:
            sweeper.start()
        except RetryableError:
            _logger.warning("this process does not sweep in the background", exc_info=True)


class Sweeper:
    """A thread that sweeps one store, by the policy of each session that asked for it.

    Several processes may use the store. The process with the lease sweeps, the others wait. An
    error is logged, and the next sweep follows after the interval.
    """

    def __init__(self) -> None:
        self._sessions: list[tuple[weakref.ref[Session], int]] = []
        self.start()

    def start(self) -> None:
        """Start the thread. A forked child calls this again, since it has no copy of the thread."""
        self._token = os.urandom(8)
        self._has_lease = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        workers.start(Thread(target=self._serve, name="lmdb-saver-sweep", daemon=True))

    def add(self, session: Session, interval: int) -> None:
        """Sweep by the policy of a session, with so many milliseconds between two sweeps."""
        # The garbage collector may call the callback within any code of any thread. A SimpleQueue
        # is reentrant, unlike an Event.
        ref = weakref.ref(session, lambda _: self._wake.put(None))
        self._sessions.append((ref, interval))
        self._wake.put(None)

    def remove(self, session: Session) -> bool:
        """Remove a session; return True if it was there."""
        found = self._contains(session)
        self._sessions = [
            (ref, interval) for ref, interval in self._sessions if ref() not in (session, None)
        ]
        self._wake.put(None)
        return found

    def release_lease(self, session: Session) -> None:
        """Release the lease if the removal of a session interrupts a sweep.

        Another process can then sweep immediately.
        """
        if self._has_lease:
            try:
                session.run(simple(lambda writer: leases.release(writer, self._token, None)))
            except LmdbSaverError:
                _logger.warning("the sweep lease is kept until it expires", exc_info=True)

    def _serve(self) -> None:
        wake = self._wake
        while not self._stop_if_unused():
            wait = self.run_once() / 1000
            with suppress(Empty):
                wake.get(timeout=min(wait, _MAX_WAIT_S))

    def _stop_if_unused(self) -> bool:
        """Unregister the sweeper and return True if all its sessions are closed or deleted."""
        with _lock:
            if self._open_sessions():
                return False
            for store in [store for store, sweeper in _sweepers.items() if sweeper is self]:
                del _sweepers[store]
            return True

    def run_once(self) -> int:
        """Sweep if a sweep is due; return the milliseconds until the next call."""
        sessions = self._open_sessions()
        if not sessions:
            return 0
        interval = min(interval for _, interval in sessions)
        first = session = sessions[0][0]
        try:
            self._has_lease = True  # also if an error hides that the lease was acquired
            wait = self._acquire_lease(first, interval)
            if wait:
                self._has_lease = False
                return wait
            for session, _ in sessions:
                session.run_sequence(retention.sweep(session, None, None, False))
            session = first
            first.run(simple(self._end_sweep(first)))
            self._has_lease = False
        except StoreClosedError:
            with _lock:
                self.remove(session)
        except Exception:
            _logger.warning("a background sweep failed and will be repeated", exc_info=True)
        return interval

    def _end_sweep(self, session: Session) -> Callable[[Writer], None]:
        def apply(writer: Writer) -> None:
            leases.release(writer, self._token, session.options.now_of(writer))

        return apply

    def _acquire_lease(self, session: Session, interval: int) -> int:
        """Acquire the lease and return 0, or return the milliseconds to wait for it."""

        def apply(writer: Writer) -> int:
            # `stop` removes a session before it releases the lease. This check in the transaction
            # makes sure that a removed session does not acquire the lease again.
            if not self._contains(session):
                return interval
            return leases.acquire(writer, self._token, session.options.now_of(writer), interval)

        wait: int = session.run(simple(apply))
        return wait

    def _open_sessions(self) -> list[tuple[Session, int]]:
        found = ((ref(), interval) for ref, interval in self._sessions)
        return [(session, interval) for session, interval in found if session is not None]

    def _contains(self, session: Session) -> bool:
        return any(other is session for other, _ in self._open_sessions())


# Hooks run in the order of their registration: `forking`, which the session imports, has already
# renewed the locks and threads.
os.register_at_fork(after_in_child=after_fork)
