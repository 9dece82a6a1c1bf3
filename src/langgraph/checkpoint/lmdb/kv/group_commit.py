"""Group commit: operations that wait at the same time share one transaction and one fsync."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from langgraph.checkpoint.lmdb.errors import LmdbSaverError, RetryableError
from langgraph.checkpoint.lmdb.kv import forking, workers
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer
from langgraph.checkpoint.lmdb.kv.locks import Lock, in_use
from langgraph.checkpoint.lmdb.kv.pending_commit import PendingCommit, failure, notify_callers

T = TypeVar("T")

MAX_BATCH = 256
"""Operations in one transaction. It bounds how long the first operation waits for the others."""
BATCH_DELAY = 0.0005
"""Seconds that operations with `can_wait` wait for one without, to share its fsync. LangGraph
stores the writes of a superstep, and soon after its checkpoint, for which it waits."""
MAX_EMPTY_WAITS = 8
"""After this many waits in a row without a second operation, the number of operations to the next
wait doubles each time. In LangGraph the last task of a superstep meets the checkpoint; the other
tasks wait without effect."""
_WORKER = object()
"""Leader for coroutines."""
_ATTEMPTS = 32
"""Calls of a step that other callers depend on. Each interrupt ends one call."""


class GroupCommit:
    """A queue of write operations in front of a key-value store.

    The first waiting thread becomes the leader. It commits the whole queue in one transaction, and
    then passes leadership to a thread that queued in the meantime. A daemon thread, the worker,
    leads for coroutines.

    Invariants:
        - An operation is `finished` only after `KeyValueStore.write` has returned, so that it is
          durable, or after it has an error. Only then is its caller notified.
        - An error of one operation fails no other: `_commit` repeats the operations of a failed
          batch one by one.
        - A batch remains in the queue until it is finished. If its leader is interrupted, another
          thread commits the rest.
        - Operations of one caller are committed in the order of their calls.
    """

    def __init__(self, kv: KeyValueStore) -> None:
        self._kv = kv
        self._flushes = kv.flushes
        self.renew()
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Start in a forked child, where no other thread commits or waits."""
        self._mutex = Lock()
        self._queue: deque[PendingCommit[Any]] = deque()
        self._leader: object = None
        """The operation whose thread commits, `_WORKER`, or None."""
        self._batch_timer: threading.Lock | None = None
        """Lock that a leader waits for during the batch delay."""
        self._empty_waits = 0
        """Number of waits in a row without a second operation."""
        self._worker_queue: SimpleQueue[bool] | None = None
        self._callers: dict[int, PendingCommit[Any]] = {}
        """The operation of each thread that is in `run`."""
        self._abandoned: set[PendingCommit[Any]] = set()
        """Operations in the queue whose callers were cancelled or interrupted, or are detached."""

    def run(self, apply: Callable[[Writer], T], *, can_wait: bool = False) -> T:
        """Commit an operation together with others that wait, and return its result.

        Args:
            apply: Function that works in a write transaction. It may run more than once, each time
                in a new transaction. An exception undoes its changes and no others.
            can_wait: Wait up to `BATCH_DELAY` seconds for an operation that cannot wait.

        Raises:
            UsageError: This call interrupts an unfinished call of the same thread.
            Exception: `apply` or the commit raised it.
        """
        me = threading.get_ident()
        self._check_not_reentrant(me)
        pending = PendingCommit(apply, can_wait)
        try:
            self._callers[me] = pending
            with self._mutex:
                if self._enqueue(pending) or self._leader is None:
                    self._leader = pending
            while not pending.finished:  # it may lead twice: more than a batch may be before it
                if self._leader is pending:
                    self._commit_as_leader(pending)
                else:
                    pending.wake.acquire()
        except BaseException:  # an interrupt, which may come at any step
            self._repeat(self._abandon, pending)
            raise
        finally:
            self._callers.pop(me, None)
        if pending.error is not None:
            raise pending.error
        return cast("T", pending.result)

    async def run_async(
        self,
        apply: Callable[[Writer], T],
        *,
        before: Callable[[], None] | None = None,
        can_wait: bool = False,
        detached: bool = False,
    ) -> T:
        """Commit an operation for a coroutine, without blocking its loop; return its result.

        A cancelled call may still be committed. `settle` waits for it.

        Args:
            apply: Function that works in a write transaction, as `run` takes it.
            before: Function that the committing thread calls before the transaction. It may run
                more than once. An exception fails this operation and no others.
            can_wait: Wait for an operation that cannot wait, as `run` does.
            detached: Let `settle` wait for the operation, also if the call is not cancelled.

        Raises:
            RetryableError: No thread could be started to commit it.
        """
        self._check_not_reentrant(threading.get_ident())
        loop = asyncio.get_running_loop()
        pending = PendingCommit(apply, can_wait, loop.create_future(), before)
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
                self._repeat(self._abandon, pending)
            raise

    def settle(self) -> None:
        """Wait until the operations of cancelled and detached calls are finished.

        So a caller that cancelled a write reads what it stored.
        """
        if self._has_abandoned():
            with contextlib.suppress(LmdbSaverError):  # the caller reads, and stored nothing
                self.run(_nothing)  # the queue keeps its order

    async def settle_async(self) -> None:
        """Async version of `settle`."""
        if self._has_abandoned():
            with contextlib.suppress(LmdbSaverError):
                await self.run_async(_nothing)

    def _has_abandoned(self) -> bool:
        if not self._abandoned:
            return False
        self._abandoned -= {pending for pending in self._abandoned.copy() if pending.finished}
        return bool(self._abandoned)

    def _check_not_reentrant(self, me: int) -> None:
        """Raise UsageError if this call interrupts a call of the same thread, as in a signal
        handler: the thread would wait for itself."""
        self._kv.check_no_transaction()
        self._mutex.check_free()
        own = self._callers.get(me)
        if own is not None and (own is self._leader or not (own.finished or own.abandoned)):
            raise in_use()

    def _repeat(self, action: Callable[..., None], *arguments: object) -> None:
        """Call a step that other callers depend on, and repeat it if an interrupt ends it."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return action(*arguments)
            except BaseException:  # noqa: BLE001, S112 - the first exception is the one to raise
                continue
        return action(*arguments)

    def _enqueue(self, pending: PendingCommit[Any]) -> bool:
        """Queue an operation; return True if its thread leads instead of a waiting leader.

        So neither thread has to wake the other one first.
        """
        if not pending.can_wait and self._queue and self._queue[0].can_wait:
            self._empty_waits = 0  # a wait was useful, or would have been
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
        """Wait for `BATCH_DELAY` if all queued operations can wait; return True if still leader.

        Without a flush to share there is nothing to wait for.
        """
        if not self._flushes:
            return True
        with self._mutex:
            if self._leader is not own:
                return False
            if not all(pending.can_wait for pending in self._queue):
                return True
            self._empty_waits += 1
            waits = self._empty_waits
            if waits > MAX_EMPTY_WAITS and waits & (waits - 1):  # not a power of two
                return True
            batch_timer = self._batch_timer = _acquired_lock()
        batch_timer.acquire(timeout=BATCH_DELAY)
        with self._mutex:
            if self._batch_timer is batch_timer:
                self._batch_timer = None
            return self._leader is own

    def _abandon(self, pending: PendingCommit[Any]) -> None:
        """Abandon an operation whose caller was interrupted. It may be committed anyway.

        Release leadership, so that other callers are not blocked.
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
        notify_callers(done)
        self._pass_leadership(pending)
        self._wake_leader()

    def _fail(self, own: object, reason: BaseException) -> None:
        """Fail all unfinished operations, and release leadership: the leader cannot continue."""
        with self._mutex:
            if self._leader is not own:
                self._wake_leader()
                return
            for pending in self._queue:
                if not pending.finished:
                    pending.error = failure(reason)
                    pending.finished = True
            failed = list(self._queue)
            notify_callers(failed)
            self._queue.clear()
            self._leader = None

    def _wake_worker(self) -> None:
        """Make the worker the leader; called with the mutex held.

        Raises:
            RetryableError: Its thread cannot be started.
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
        """Wake the leader again: an interrupt may have come before it was woken."""
        with self._mutex:
            leader, worker_queue = self._leader, self._worker_queue
        if isinstance(leader, PendingCommit):
            leader.notify()
        elif leader is _WORKER and worker_queue is not None:
            worker_queue.put(True)

    def close(self) -> None:
        """End the worker once it does not lead. A later call of `run_async` starts another one."""
        self._mutex.check_free()
        with self._mutex:
            worker_queue, self._worker_queue = self._worker_queue, None
        if worker_queue is not None:
            worker_queue.put(False)

    def _commit_as_leader(self, own: object) -> None:
        if not self._wait_for_batch(own):
            return
        with self._mutex:  # the batch remains in the queue until it is finished
            batch = list(islice(self._queue, MAX_BATCH))
        # The worker is never interrupted: a BaseException there is the operation's own.
        self._commit(batch, BaseException if own is _WORKER else Exception)
        notify_callers(batch)
        self._pass_leadership(own)

    def _commit(self, batch: list[PendingCommit[Any]], errors: type[BaseException]) -> None:
        for pending in batch:
            pending.begin(errors)
        ready = [pending for pending in batch if pending.error is None]
        if len(ready) > 1:

            def apply(writer: Writer) -> None:
                for pending in ready:
                    pending.result = pending.apply(writer)

            try:
                self._kv.write(apply)
            except errors:  # repeat each alone, to find the operation that failed
                pass
            else:
                for pending in batch:
                    pending.finished = True
                return
        for pending in batch:
            if pending.error is None:
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
    """Lead for coroutines whenever the queue has an item.

    Between two items the thread refers to nothing else, so that a dropped saver can be collected.
    """
    while True:
        commit: GroupCommit | None = None
        try:
            if not worker_queue.get():
                return
            commit = reference()
            if commit is not None:
                commit._commit_as_leader(_WORKER)
        except BaseException as error:  # noqa: BLE001 - raised in the waiting coroutines
            commit = reference()
            if commit is not None:
                commit._repeat(commit._fail, _WORKER, error)


def _acquired_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _nothing(_: Writer) -> None:
    """Change nothing. The operation ends after all that were queued before it."""
