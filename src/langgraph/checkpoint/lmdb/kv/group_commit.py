"""Group commit: operations that meet at the store share one transaction and one flush to disk."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar, cast

from langgraph.checkpoint.lmdb.errors import LmdbSaverError, RetryableError
from langgraph.checkpoint.lmdb.kv import forking, workers
from langgraph.checkpoint.lmdb.kv.locks import Lock, in_use
from langgraph.checkpoint.lmdb.kv.pending_commit import Waiting, announce, failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer

T = TypeVar("T")

MAX_BATCH = 256
"""Operations in one transaction: a bound on how long the first of them waits for the others."""


BATCH_DELAY = 0.0005
"""Seconds that patient operations wait for one that is not, to share its flush. LangGraph stores
the writes of a superstep and then, soon after, its checkpoint, for which it waits."""

MAX_EMPTY_WAITS = 8
"""Times in a row that nobody came, from which on only one in so many waits. Among LangGraph's tasks
the last of a superstep meets its checkpoint, and others wait in vain; other callers of `put_writes`
may always do."""


_WORKER = object()
"""Leads for coroutines."""

_ATTEMPTS = 32
"""How often an interrupt may end what must be done for others. Each interrupt takes one."""


class GroupCommit:
    """A queue of write operations before a key-value store.

    Whoever finds nobody committing leads: it commits all that is queued, then hands the lead to
    one of those that came meanwhile. A thread leads once at most for others; coroutines never do,
    a daemon thread does it for them, and only while one of them waits.
    """

    def __init__(self, kv: KeyValueStore) -> None:
        self._kv = kv
        self.renew()
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Start in a forked child, where no other thread commits or waits."""
        self._mutex = Lock()
        self._queue: deque[Waiting[Any]] = deque()
        self._leader: object = None
        """The operation whose thread commits, `_WORKER`, or None."""
        self._batch_timer: threading.Lock | None = None
        """What a leader that waits for company waits for."""
        self._empty_waits = 0
        """How often nobody came, since somebody did."""
        self._worker_queue: SimpleQueue[bool] | None = None
        self._callers: dict[int, Waiting[Any]] = {}
        """The operation of each thread that is in `run`."""
        self._abandoned: set[Waiting[Any]] = set()
        """Operations in the queue whose callers were cancelled or interrupted, or are detached."""

    def run(self, apply: Callable[[Writer], T], *, can_wait: bool = False) -> T:
        """Commit an operation, with others that wait; returns what it returned.

        Args:
            apply: Works on the store in a write transaction. It may run more than once, always
                in a new transaction. An exception undoes all that it did, and nothing else.
            patient: Wait up to `BATCH_DELAY` seconds for an operation that is not.

        Raises:
            UsageError: This call interrupts one that this thread has not ended.
            Exception: Whatever `apply` or the commit raised.
        """
        me = threading.get_ident()
        self._check_outside(me)
        pending = Waiting(apply, can_wait)
        try:
            self._callers[me] = pending
            with self._mutex:
                if self._enqueue(pending) or self._leader is None:
                    self._leader = pending
            while not pending.finished:  # it may lead twice: others may be before it in the queue
                if self._leader is pending:
                    self._commit_as_leader(pending)
                else:
                    pending.wake.acquire()
        except BaseException:  # an interrupt, which may come anywhere
            self._insist(self._abandon, pending)
            raise
        finally:
            self._callers.pop(me, None)
        if pending.error is not None:
            raise pending.error
        return cast("T", pending.result)

    async def run_async(
        self, apply: Callable[[Writer], T], *, can_wait: bool = False, detached: bool = False
    ) -> T:
        """The same for a coroutine: its loop is free while others work and the disk flushes.

        A cancelled call may still be committed. `settle` waits for it.

        Args:
            apply: As for `run`.
            patient: As for `run`.
            detached: Let `settle` wait for it, also if it is not cancelled.

        Raises:
            RetryableError: No thread could be started to commit it.
        """
        self._check_outside(threading.get_ident())
        pending = Waiting(apply, can_wait, asyncio.get_running_loop().create_future())
        assert pending.future is not None
        try:
            with self._mutex:
                if self._leader is None:
                    self._wake_worker()
                self._enqueue(pending)
                if detached:
                    self._abandoned.add(pending)
            return cast("T", await pending.future)
        except BaseException:
            if not pending.finished:  # it was cancelled
                self._insist(self._abandon, pending)
            raise

    def settle(self) -> None:
        """Wait until the operations are done whose callers no longer wait for them.

        So a caller that cancelled a write reads what it stored.
        """
        if self._has_abandoned():
            with contextlib.suppress(LmdbSaverError):  # it is a read that waits
                self.run(_nothing)  # comes after them: the queue keeps its order

    async def settle_async(self) -> None:
        """The same for a coroutine."""
        if self._has_abandoned():
            with contextlib.suppress(LmdbSaverError):
                await self.run_async(_nothing)

    def _has_abandoned(self) -> bool:
        if not self._abandoned:
            return False
        self._abandoned -= {pending for pending in self._abandoned.copy() if pending.finished}
        return bool(self._abandoned)

    def _check_outside(self, me: int) -> None:
        """Raise UsageError if this call interrupts one of the same thread, as a signal handler
        does: the thread would wait for itself."""
        self._kv.check_no_transaction()
        self._mutex.check_free()
        own = self._callers.get(me)
        if own is not None and (own is self._leader or not (own.finished or own.abandoned)):
            raise in_use()

    def _insist(self, action: Callable[..., None], *arguments: object) -> None:
        """Call what must be done lest others wait for ever, again if an interrupt ends it."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return action(*arguments)
            except BaseException:  # noqa: BLE001, S112 - the first exception is the one to raise
                continue
        return action(*arguments)

    def _enqueue(self, pending: Waiting[Any]) -> bool:
        """Queue an operation; whether it takes the lead from one that waits for company. So the
        thread that is in a hurry need not be woken, nor wait for another one to be."""
        if not pending.can_wait and self._queue and self._queue[0].can_wait:
            self._empty_waits = 0  # whether it waited or commits already: waiting would have paid
        self._queue.append(pending)
        if self._batch_timer is None or pending.can_wait:
            return False
        self._end_batch_timer()
        return pending.future is None

    def _end_batch_timer(self) -> None:
        batch_timer, self._batch_timer = self._batch_timer, None
        if batch_timer is not None:
            batch_timer.release()

    def _wait_for_batch(self, own: object) -> bool:
        """Wait a moment while all that is queued has time; whether the caller still leads."""
        with self._mutex:
            if self._leader is not own:
                return False
            if not all(pending.can_wait for pending in self._queue):
                return True
            self._empty_waits += 1
            if self._empty_waits > MAX_EMPTY_WAITS and self._empty_waits % MAX_EMPTY_WAITS:
                return True
            batch_timer = self._batch_timer = _locked()
        batch_timer.acquire(timeout=BATCH_DELAY)
        with self._mutex:
            if self._batch_timer is batch_timer:
                self._batch_timer = None
            return self._leader is own

    def _abandon(self, pending: Waiting[Any]) -> None:
        """Give up an operation whose caller was interrupted; it may be committed all the same.

        Nothing that others wait for gets stuck with a thread that left.
        """
        with self._mutex:
            pending.abandoned = True
            if self._leader is pending:
                self._batch_timer = None
                if not pending.finished and pending in self._queue:
                    self._queue.remove(pending)
            elif not pending.finished and pending in self._queue:
                self._abandoned.add(pending)
            if self._leader is None and self._queue:
                self._leader = pending
            done = [one for one in self._queue if one.finished]
        announce(done)
        self._pass_leadership(pending)
        self._wake_leader()

    def _fail(self, own: object, reason: BaseException) -> None:
        """Give up the lead, and fail all that is not done: the leader cannot go on."""
        with self._mutex:
            if self._leader is not own:
                self._wake_leader()
                return
            for pending in self._queue:
                if not pending.finished:
                    pending.error = failure(reason)
                    pending.finished = True
            failed = list(self._queue)
            announce(failed)
            self._queue.clear()
            self._leader = None

    def _wake_worker(self) -> None:
        """Let the thread that serves coroutines lead; called with the mutex held.

        Raises:
            RetryableError: It cannot be started.
        """
        if self._worker_queue is None:
            worker_queue: SimpleQueue[bool] = SimpleQueue()
            service = threading.Thread(
                target=_serve,
                args=(weakref.ref(self), worker_queue),
                name="lmdb-saver-commit",
                daemon=True,
            )
            try:
                workers.start(service)
                weakref.finalize(self, worker_queue.put, False).atexit = False
            except BaseException:
                worker_queue.put(False)  # if it was interrupted, the thread may have started
                raise
            self._worker_queue = worker_queue
        self._worker_queue.put(True)
        self._leader = _WORKER

    def _wake_leader(self) -> None:
        """Tell whoever leads: an interrupt can come between giving it the lead and saying so."""
        with self._mutex:
            leader, worker_queue = self._leader, self._worker_queue
        if isinstance(leader, Waiting):
            leader.notify()
        elif leader is _WORKER and worker_queue is not None:
            worker_queue.put(True)

    def close(self) -> None:
        """End the thread that serves coroutines, once it does not lead; a later call to
        `run_async` starts another."""
        self._mutex.check_free()
        with self._mutex:
            worker_queue, self._worker_queue = self._worker_queue, None
        if worker_queue is not None:
            worker_queue.put(False)

    def _commit_as_leader(self, own: object) -> None:
        if not self._wait_for_batch(own):
            return
        with self._mutex:  # all stay in the queue until they are done
            batch = list(islice(self._queue, MAX_BATCH))
        # Nobody interrupts the thread that serves coroutines: there it is the operation's own.
        self._commit(batch, BaseException if own is _WORKER else Exception)
        announce(batch)
        self._pass_leadership(own)

    def _commit(self, batch: list[Waiting[Any]], errors: type[BaseException]) -> None:
        if len(batch) > 1:

            def apply(writer: Writer) -> None:
                for pending in batch:
                    pending.result = pending.apply(writer)

            try:
                self._kv.write(apply)
            except errors:  # each alone, to tell whose it is
                pass
            else:
                for pending in batch:
                    pending.finished = True
                return
        for pending in batch:
            try:
                pending.result = self._kv.write(pending.apply)
            except errors as error:
                pending.error = error
            pending.finished = True

    def _pass_leadership(self, own: object) -> None:
        with self._mutex:
            if self._leader is not own:
                return
            while self._queue and self._queue[0].finished:
                self._abandoned.discard(self._queue.popleft())
            if not self._queue:
                self._leader = None
                return
            for pending in self._queue:
                if pending.future is None and not pending.abandoned and not pending.finished:
                    self._leader = pending
                    pending.notify()
                    return
            try:
                self._wake_worker()
            except RetryableError as error:
                self._fail(own, error)


def _serve(reference: weakref.ref[GroupCommit], worker_queue: SimpleQueue[bool]) -> None:
    """Lead for coroutines when summoned. Between two summons nothing else is referred to, so that
    a saver that is dropped can be collected."""
    while True:
        commit: GroupCommit | None = None
        try:
            if not worker_queue.get():
                return
            commit = reference()
            if commit is not None:
                commit._commit_as_leader(_WORKER)
        except BaseException as error:  # noqa: BLE001 - the waiting coroutines get it
            commit = reference()
            if commit is not None:
                commit._insist(commit._fail, _WORKER, error)


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _nothing(_: Writer) -> None:
    """An operation that comes after others and changes nothing."""
