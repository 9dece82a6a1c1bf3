"""Group commit: operations that meet at the store share one transaction and one flush to disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections import deque
from itertools import islice
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

IN_VAIN = 8
"""Times in a row that nobody came, from which on only one in so many waits. Among LangGraph's tasks
the last of a superstep meets its checkpoint, and others wait in vain; other callers of `put_writes`
may always do."""


class _Waiting(Generic[T]):
    """An operation in the queue, and whoever waits for it: a thread, or a future of a loop."""

    __slots__ = (
        "abandoned",
        "apply",
        "error",
        "finished",
        "future",
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


_SERVICE = object()
"""Leads for coroutines."""


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
        self._leader: object = None
        """The operation whose thread commits, `_SERVICE`, or None."""
        self._linger: threading.Lock | None = None
        """What a leader that waits for company waits for."""
        self._alone = 0
        """How often nobody came, since somebody did."""
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
        try:
            with self._mutex:
                if self._enqueue(waiting) or self._leader is None:
                    self._leader = waiting
            while not waiting.finished:  # it may lead twice: others may be before it in the queue
                if self._leader is waiting:
                    self._lead(waiting)
                else:
                    waiting.wake.acquire()
        except BaseException:  # an interrupt, which may come anywhere
            self._leave(waiting)
            raise
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
            if self._leader is None:
                self._summon()
        return cast("T", await waiting.future)

    def _enqueue(self, waiting: _Waiting[Any]) -> bool:
        """Queue an operation; whether it takes the lead from one that waits for company. So the
        thread that is in a hurry need not be woken, nor wait for another one to be."""
        if not waiting.patient and self._queue and self._queue[0].patient:
            self._alone = 0  # whether it waited or commits already: waiting would have paid
        self._queue.append(waiting)
        if self._linger is None or waiting.patient:
            return False
        self._end_linger()
        return waiting.future is None

    def _end_linger(self) -> None:
        lingering, self._linger = self._linger, None
        if lingering is not None:
            lingering.release()

    def _wait_for_company(self, own: object) -> bool:
        """Wait a moment while all that is queued has time; whether the caller still leads."""
        with self._mutex:
            if not all(waiting.patient for waiting in self._queue):
                return self._leader is own
            self._alone += 1
            if self._alone > IN_VAIN and self._alone % IN_VAIN:
                return self._leader is own
            lingering = self._linger = _locked()
        lingering.acquire(timeout=LINGER)
        with self._mutex:
            if self._linger is lingering:
                self._linger = None
            return self._leader is own

    def _leave(self, waiting: _Waiting[Any]) -> None:
        """Give up an operation whose thread was interrupted; it may be committed all the same.

        Nothing that others wait for gets stuck with a thread that left.
        """
        with self._mutex:
            waiting.abandoned = True
            if self._leader is not waiting:
                return
            if self._linger is not None:
                self._linger = None
            done = [one for one in self._queue if one.finished]
            if not waiting.finished and waiting in self._queue:
                self._queue.remove(waiting)
        _announce(done)
        self._hand_over(waiting)

    def _summon(self) -> None:
        self._leader = _SERVICE
        if self._summons is None:
            self._summons = SimpleQueue()
            threading.Thread(
                target=self._serve, args=(self._summons,), name="lmdb-saver-commit", daemon=True
            ).start()
        self._summons.put(True)

    def _serve(self, summons: SimpleQueue[bool]) -> None:
        while summons.get():
            self._lead(_SERVICE)

    def close(self) -> None:
        """End the thread that serves coroutines, once it does not lead; a later call to
        `run_async` starts another."""
        with self._mutex:
            summons, self._summons = self._summons, None
        if summons is not None:
            summons.put(False)

    def _lead(self, own: object) -> None:
        if not self._wait_for_company(own):
            return
        with self._mutex:  # all stay in the queue until they are done
            batch = list(islice(self._queue, MAX_BATCH))
        # Nobody interrupts the thread that serves coroutines: there it is the operation's own.
        self._commit(batch, BaseException if own is _SERVICE else Exception)
        _announce(batch)
        self._hand_over(own)

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
                for waiting in batch:
                    waiting.finished = True
                return
        for waiting in batch:
            try:
                waiting.result = self._kv.write(waiting.apply)
            except errors as error:
                waiting.error = error
            waiting.finished = True

    def _hand_over(self, own: object) -> None:
        with self._mutex:
            if self._leader is not own:
                return
            while self._queue and self._queue[0].finished:
                self._queue.popleft()
            if not self._queue:
                self._leader = None
                return
            for waiting in self._queue:
                if waiting.future is None and not waiting.abandoned and not waiting.finished:
                    self._leader = waiting
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
