"""Group commit: operations that meet at the store share one transaction and one flush to disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer

T = TypeVar("T")

MAX_BATCH = 256
"""Operations in one transaction: a bound on how long the first of them waits for the others."""


LINGER = 0.0005
"""Seconds that patient operations wait for one that is not, to share its flush. LangGraph stores
the writes of a superstep and then, soon after, its checkpoint, for which it waits."""


class _Waiting(Generic[T]):
    """An operation in the queue, and whoever waits for it: a thread, or a future of a loop."""

    __slots__ = (
        "abandoned",
        "apply",
        "error",
        "finished",
        "future",
        "leads",
        "patient",
        "result",
        "wake",
    )

    def __init__(
        self,
        apply: Callable[[Writer], T],
        patient: bool,
        future: asyncio.Future[T] | None = None,
    ) -> None:
        self.apply = apply
        self.patient = patient
        self.future = future
        self.wake = threading.Lock()
        self.wake.acquire()
        self.finished = False
        self.leads = False
        self.abandoned = False
        self.result: Any = None
        self.error: BaseException | None = None

    def notify(self) -> None:
        """Wake the thread."""
        with contextlib.suppress(RuntimeError):  # told before, but interrupted: it has left
            self.wake.release()

    def resolve(self) -> None:
        """Settle the future, in its loop."""
        future = self.future
        if future is None or future.done():
            return
        if self.error is None:
            future.set_result(self.result)
        else:
            future.set_exception(self.error)


class _Linger:
    """A leader's wait for company."""

    __slots__ = ("deposed", "over")

    def __init__(self) -> None:
        self.over = _locked()
        self.deposed = False
        """Whether another thread has taken the lead."""


class GroupCommit:
    """A queue of write operations before a key-value store.

    Whoever finds nobody committing leads: it commits all that is queued, then hands the lead to
    one of those that came meanwhile. A thread leads once at most for others; coroutines never do,
    a daemon thread does it for them, and only while one of them waits.
    """

    def __init__(self, kv: KeyValueStore) -> None:
        self._kv = kv
        self._reset()
        _instances.add(self)

    def _reset(self) -> None:
        self._mutex = threading.Lock()
        self._queue: deque[_Waiting[Any]] = deque()
        self._leading = False
        self._linger: _Linger | None = None
        self._summons: SimpleQueue[bool] | None = None

    def run(self, apply: Callable[[Writer], T], *, patient: bool = False) -> T:
        """Commit an operation, with others that wait; returns what it returned.

        Args:
            apply: Works on the store in a write transaction. It may run more than once, always
                in a new transaction. An exception undoes all that it did, and nothing else.
            patient: Wait up to `LINGER` seconds for an operation that is not.

        Raises:
            Exception: Whatever `apply` or the commit raised.
        """
        waiting = _Waiting(apply, patient)
        with self._mutex:
            lead = self._enqueue(waiting) or not self._leading
            self._leading = True
        if lead:
            self._lead(waiting)
        while not waiting.finished:
            self._wait(waiting)
            if waiting.leads:  # perhaps more than once: others may be before it in the queue
                self._lead(waiting)
        if waiting.error is not None:
            raise waiting.error
        return cast("T", waiting.result)

    async def run_async(self, apply: Callable[[Writer], T], *, patient: bool = False) -> T:
        """The same for a coroutine: its loop is free while others work and the disk flushes.

        A cancelled call may still be committed.
        """
        waiting = _Waiting(apply, patient, asyncio.get_running_loop().create_future())
        assert waiting.future is not None
        with self._mutex:
            self._enqueue(waiting)
            if not self._leading:
                self._leading = True
                self._summon()
        return cast("T", await waiting.future)

    def _enqueue(self, waiting: _Waiting[Any]) -> bool:
        """Queue an operation; whether it takes the lead from one that waits for company. So the
        thread that is in a hurry need not be woken, nor wait for another one to be."""
        self._queue.append(waiting)
        linger = self._linger
        if linger is None or waiting.patient:
            return False
        linger.deposed = waiting.future is None
        self._end_linger(linger)
        return linger.deposed

    def _end_linger(self, linger: _Linger) -> None:
        self._linger = None
        linger.over.release()

    def _wait_for_company(self, own: _Waiting[Any] | None) -> bool:
        """Wait a moment while all that is queued has time; whether the caller still leads."""
        with self._mutex:
            if not all(waiting.patient for waiting in self._queue):
                return True
            linger = self._linger = _Linger()
        try:
            if linger.over.acquire(timeout=LINGER):
                return not linger.deposed
        except BaseException:  # an interrupt: whoever came meanwhile must not be left alone
            with self._mutex:
                if self._linger is linger:
                    self._end_linger(linger)
                if own is not None:
                    own.abandoned = True
            if not linger.deposed:
                self._hand_over()
            raise
        with self._mutex:
            if self._linger is linger:
                self._end_linger(linger)
        return not linger.deposed

    def _wait(self, waiting: _Waiting[Any]) -> None:
        try:
            waiting.wake.acquire()
        except BaseException:  # an interrupt: the lead must not get stuck with a thread that left
            with self._mutex:
                waiting.abandoned = True
                leads = waiting.leads
            if leads:
                self._hand_over()
            raise

    def _summon(self) -> None:
        if self._summons is None:
            self._summons = SimpleQueue()
            threading.Thread(
                target=self._serve, args=(self._summons,), name="lmdb-saver-commit", daemon=True
            ).start()
        self._summons.put(True)

    def _serve(self, summons: SimpleQueue[bool]) -> None:
        while summons.get():
            self._lead(None)

    def close(self) -> None:
        """End the thread that serves coroutines, once it does not lead; a later call to
        `run_async` starts another."""
        with self._mutex:
            summons, self._summons = self._summons, None
        if summons is not None:
            summons.put(False)

    def _lead(self, own: _Waiting[Any] | None) -> None:
        if own is not None:
            own.leads = False
        if not self._wait_for_company(own):
            return
        with self._mutex:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
        try:
            # Nobody interrupts the thread that serves coroutines: there it is the operation's own.
            self._commit(batch, BaseException if own is None else Exception)
        except BaseException:  # an interrupt of the leading thread: the others' work stays queued
            _announce([w for w in batch if w.finished])
            with self._mutex:
                rest = (w for w in reversed(batch) if w is not own and not w.finished)
                self._queue.extendleft(rest)
            self._hand_over()
            raise
        _announce(batch)
        self._hand_over()

    def _commit(self, batch: list[_Waiting[Any]], errors: type[BaseException]) -> None:
        if len(batch) > 1:

            def apply(writer: Writer) -> None:
                for waiting in batch:
                    waiting.result = waiting.apply(writer)

            try:
                self._kv.write(apply)
            except errors:  # each alone, to tell whose it is
                pass
            else:
                return
        for waiting in batch:
            try:
                waiting.result = self._kv.write(waiting.apply)
            except errors as error:
                waiting.error = error
            waiting.finished = True

    def _hand_over(self) -> None:
        with self._mutex:
            if not self._queue:
                self._leading = False
                return
            for waiting in self._queue:
                if waiting.future is None and not waiting.abandoned:
                    waiting.leads = True
                    waiting.notify()
                    return
            self._summon()


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _announce(batch: Iterable[_Waiting[Any]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, deque[_Waiting[Any]]] = {}
    for waiting in batch:
        waiting.finished = True
        if waiting.future is None:
            waiting.notify()
        else:
            by_loop.setdefault(waiting.future.get_loop(), deque()).append(waiting)
    for loop, group in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, loop, group)


def _resolve(loop: asyncio.AbstractEventLoop, group: deque[_Waiting[Any]]) -> None:
    """Settle one future a round of the loop: all at once, their tasks would keep it from others."""
    group.popleft().resolve()
    if group:
        loop.call_soon(_resolve, loop, group)


_instances: weakref.WeakSet[GroupCommit] = weakref.WeakSet()


def _after_fork() -> None:
    for commit in list(_instances):
        commit._reset()


os.register_at_fork(after_in_child=_after_fork)
