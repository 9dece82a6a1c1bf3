"""An LMDB environment that grows, recovers and survives a fork.

LMDB wants its map resized only while nobody is inside, to be opened anew after a failed write of
its root, and never to be used across `fork()`. All that is settled here, so that a transaction is
begun by calling `Environment.begin` and ended by calling `Environment.end`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import lmdb

from langgraph.checkpoint.lmdb.errors import (
    LmdbSaverError,
    RetryableError,
    StoreClosedError,
    StoreFullError,
    StoreIOError,
    UsageError,
)
from langgraph.checkpoint.lmdb.kv.lmdb import copies, files
from langgraph.checkpoint.lmdb.kv.lmdb.errors import (
    LMDB_FAILURES,
    reported,
    translate_lmdb_error,
    translate_os_error,
)
from langgraph.checkpoint.lmdb.kv.lmdb.meta_pages import rewrite_meta_pages
from langgraph.checkpoint.lmdb.kv.lmdb.opening import SMALLEST_MAP, open_files
from langgraph.checkpoint.lmdb.kv.lmdb.patience import Patience
from langgraph.checkpoint.lmdb.kv.lmdb.peers import BusyError, Peers, StaleError, fit
from langgraph.checkpoint.lmdb.kv.lmdb.preallocation import Preallocator, truncate_unused
from langgraph.checkpoint.lmdb.kv.lmdb.shared_lock import SharedLock
from langgraph.checkpoint.lmdb.kv.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.kv.lmdb.opening import Sync

# Each attempt repairs what the one before met; more in a row means that repairing does not help.
_ATTEMPTS: Final = 32
# Bytes of address space kept free, beside as much as the file has, before a long transaction.
_ROOM: Final = 64 << 20
# Seconds that replacing the map waits for transactions of other threads.
_PATIENCE: Final = 60.0
# Seconds that another copy of this package in the process waits for transactions of this one.
_COPY_PATIENCE: Final = 10.0
# Write transactions after which the slots of dead readers are looked for.
_CLEARING: Final = 64
# Failures after which the environment is opened or mapped anew.
_REPAIRABLE: Final = (StaleError, lmdb.MapResizedError, lmdb.PanicError)


class Environment:
    """The process's only handle on one store's files.

    Between `begin` and `end` the LMDB environment stays the same; it is closed or replaced only by
    a thread that is alone behind the gate.

    Attributes:
        writing: Held by the thread whose turn it is to write.
        users: Open stores on this environment; changed under the registry's lock.
        peers: Other processes that use the store.
        _lmdb: None while it is to be opened at the next use.
        _headroom: Makes the file longer ahead of commits, if they are flushed.
        _settled: Whether the roots are known to be on the disk, if commits are flushed.
        _begun: Write transactions that were begun.
        _lost: Whether this process was forked in the middle of a transaction. What it inherited of
            LMDB's is the parent's, and never used.
        _inherited: That, kept because its end would close it.
    """

    def __init__(self, folder: str, sync: Sync, map_size: int, *, readonly: bool) -> None:
        self.folder = folder
        self.peers = Peers(folder)
        self.identity = self.peers.place.identity
        self.sync = sync
        self.readonly = readonly
        self.map_size = map_size
        self.users = 0
        self.writing = Lock()
        self._lock = SharedLock()
        self._lmdb: lmdb.Environment | None = None
        self._page_size = 0
        self._preallocator: Preallocator | None = None
        self._meta_pages_synced = False
        self._begun = 0
        self._inherited_env = False
        self._inherited: list[lmdb.Environment] = []

    def begin(self, owner: int, *, write: bool) -> lmdb.Transaction:
        """Begin a transaction of this thread.

        The caller calls `end` afterwards, also if this call is interrupted.

        Args:
            owner: The thread, as `check_no_transaction` returned it.
            write: Begin the write transaction.
        """
        try:
            return self._begin(owner, write=write)
        except BaseException:
            if write:
                self._stop_waiting(owner)
            raise

    def _begin(self, owner: int, *, write: bool) -> lmdb.Transaction:
        patience: Patience | None = None
        repairs = 0
        while repairs < _ATTEMPTS:
            transaction: lmdb.Transaction | None = None
            failure: Exception | None = None
            begun = False
            try:
                self._lock.acquire_shared(owner)
                env = self._lmdb
                if env is not None:
                    if write:
                        self.peers.take_write()
                        transaction = env.begin(write=True)
                        self._make_ready(env, transaction)
                    else:
                        transaction = self.peers.begin_snapshot(env)
                    begun = True
                    return transaction
            except (*LMDB_FAILURES, BusyError, StaleError) as error:
                failure = error.with_traceback(None)  # which would refer to this frame
            except OSError as error:
                raise translate_os_error(error, self.folder, "beginning a transaction") from error
            finally:  # an interrupt may come anywhere
                if not begun:
                    if transaction is not None:
                        transaction.abort()
                    self.end(owner, write=write)
            if isinstance(failure, BusyError):  # wait outside, so that a fork does not wait
                patience = patience or Patience(self.folder, self.identity, writing=write)
                patience.pause()
            else:
                self._repair(env, failure, again=repairs > 0)
                repairs += 1
        raise StoreIOError(f"no transaction could be begun: {failure}", path=self.folder)

    def commit(self, transaction: lmdb.Transaction) -> None:
        """Commit a transaction; raises what LMDB raises."""
        self._check_not_lost()  # the parent goes on with it
        self.peers.place.check()
        try:
            transaction.commit()
        except LMDB_FAILURES:
            self._meta_pages_synced = self.sync == "off"
            raise

    def abort(self, transaction: lmdb.Transaction) -> None:
        """Abort a transaction, if it was not committed."""
        if not self._inherited_env:  # the parent goes on with it
            transaction.abort()

    def end(self, owner: int, *, write: bool) -> None:
        """Count a transaction out of which nothing is used any more."""
        # Once it is counted out another thread may write: `end` may be called again.
        if write and self._lock.is_inside(owner):
            self.peers.give_write()
        self._lock.release_shared(owner)

    def check_no_transaction(self) -> int:
        """This thread, if it has no transaction open; if it has one, raise UsageError."""
        return self._lock.check_not_held()

    def open(self) -> None:
        """Open the LMDB environment, unless it is open."""

        def open_once() -> None:
            if self._lmdb is None:
                self._open()

        if self._lmdb is None:
            self._lock.exclusive(open_once, _PATIENCE)

    def open_for_writing(self, sync: Sync) -> None:
        """See to it that the environment can write, with this `sync`."""

        def upgrade_once() -> None:
            if self.readonly:
                self._upgrade(sync)

        if self.readonly:
            self._lock.exclusive(upgrade_once, _PATIENCE)
        if self.sync != sync:
            raise UsageError(
                f"this process has the store open with sync={self.sync!r}, not {sync!r}",
                path=self.folder,
                advice="Use one setting everywhere, or close the other store first.",
            )
        self.open()

    def grow(self) -> None:
        """Make the map larger; called by the writer, outside its transaction."""
        self._lock.exclusive(self._grow_map, _PATIENCE)

    def reserve_map(self) -> None:
        """See to it that the map need not grow soon: it cannot while a transaction is open."""
        self.peers.place.check()
        with suppress(StoreFullError):
            for _ in range(_ATTEMPTS):
                if self.map_size >= 2 * files.length(self.folder) + _ROOM:
                    return
                self.grow()

    def opened(self) -> lmdb.Environment:
        """The LMDB environment, for a thread that is between `begin` and `end`."""
        assert self._lmdb is not None
        return self._lmdb

    def oldest_reader(self, transaction: lmdb.Transaction) -> tuple[int, int]:
        """The number of a write transaction, and the oldest one whose state others may need."""
        env = self.opened()
        self.peers.clear_slots(env)
        # A line for each reader: process, thread, and the snapshot that it reads, if any.
        columns = [line.split() for line in env.readers().splitlines()[1:]]
        snapshots = [int(snapshot) for _, _, snapshot in columns if snapshot != "-"]
        number = transaction.id()
        return number, min(number - 1, *snapshots) if snapshots else number - 1

    def exclusive(self, action: Callable[[], None]) -> None:
        """Call `action` while other threads are kept out, once those that are inside have left."""
        self._lock.exclusive(action)

    def alone_at_once(self, action: Callable[[], None]) -> bool:
        """Do so if that takes no waiting; return whether `action` was called."""
        return self._lock.alone_at_once(action)

    def let_go(self) -> bool:
        """Close until the next use, for another copy of this package; return whether it did."""
        try:
            self._lock.exclusive(self._close_env, _COPY_PATIENCE)
        except (UsageError, RetryableError):  # this or another thread is inside
            return False
        return True

    def close(self) -> None:
        """Close the LMDB environment; called by a thread that is alone."""
        made_room = self._preallocator is not None
        self._close_env()
        with suppress(LmdbSaverError):  # the store is closed, whatever became of its folder
            # Not if another store is there: closing its lock file would drop our locks on it.
            self.peers.place.check()
            if made_room:
                truncate_unused(self.folder)

    def before_fork(self, end: float) -> None:
        """Close, so that a child inherits nothing of LMDB's, unless a transaction is open.

        Args:
            end: The time until which transactions of other threads are waited for.
        """
        self._lock.alone_before_fork(self._close_env, end)

    def after_fork_in_child(self) -> None:
        """Start with locks of its own, and let go of what belongs to the parent."""
        self._inherited_env = self._inherited_env or self._lmdb is not None or self._lock.is_shut()
        if self._lmdb is not None:
            self._inherited.append(self._lmdb)
            self._lmdb = None
        preallocator, self._preallocator = self._preallocator, None
        if preallocator is not None:
            preallocator.close()
        self.peers.leave()
        self._lock = SharedLock()
        self.writing = Lock()

    def _stop_waiting(self, owner: int) -> None:
        """Let other processes know that this thread does not wait for the turn any more."""
        try:
            self._lock.acquire_shared(owner)
            self.peers.stop_waiting()
        finally:
            self.end(owner, write=True)

    def _make_ready(self, env: lmdb.Environment, transaction: lmdb.Transaction) -> None:
        """Prepare the file for a commit; called inside its transaction."""
        info = env.info()
        if not fit(info["last_txnid"], transaction.id() - 1):
            raise StaleError
        used = (info["last_pgno"] + 1) * self._page_size
        try:
            if not self._meta_pages_synced:
                rewrite_meta_pages(self.peers.locks.handle, self._page_size)
                self._meta_pages_synced = True
            grows = self._preallocator is not None and self._preallocator.reserve(used)
        except OSError as error:
            raise translate_os_error(error, self.folder, "making ready for a commit") from error
        self._begun += 1
        if grows or self._begun % _CLEARING == 0:
            self.peers.clear_slots(env)  # which may keep free pages from being used

    def _repair(
        self, env: lmdb.Environment | None, failure: Exception | None, *, again: bool
    ) -> None:
        """Make the next attempt to begin a transaction on `env` fare better, or raise."""
        if isinstance(failure, lmdb.ReadersFullError):
            owner = self._lock.check_not_held()
            try:
                self._lock.acquire_shared(owner)
                with reported(self.folder, "clearing the reader table"):
                    cleared = env is not self._lmdb or env is None or self.peers.clear_slots(env)
            finally:
                self._lock.release_shared(owner)
            if cleared or not again:  # another thread may have cleared them just before
                return
        elif failure is None or isinstance(failure, _REPAIRABLE):
            self._lock.exclusive(lambda: self._replace(env, failure), _PATIENCE)
            return
        raise translate_lmdb_error(failure, self.folder, "beginning a transaction") from failure

    def _replace(self, env: lmdb.Environment | None, failure: Exception | None) -> None:
        """Replace an environment that failed, unless another thread has done it."""
        if self._lmdb is not env:
            return
        if isinstance(failure, lmdb.MapResizedError):
            self._grow_map()
        else:
            self._close_env()
            self._open()

    def _upgrade(self, sync: Sync) -> None:
        """Replace an environment that was opened for reading."""
        self._close_env()
        before = self.sync
        self.sync, self.readonly = sync, False
        try:
            self._open()
        except LmdbSaverError:
            self.sync, self.readonly = before, True
            raise

    def _grow_map(self) -> None:
        """Replace the map by a larger one, which holds at least what the file has."""
        if self._lmdb is None:
            return
        current = self._lmdb.info()["map_size"]
        target = max(2 * current, SMALLEST_MAP)
        while target < self.peers.locks.length():
            target *= 2
        try:
            self.peers.forget_slot()
            self._lmdb.set_mapsize(target)
            self.map_size = target
        except lmdb.Error:
            # LMDB has given the old map back before it asked for the new one.
            self._close_env()
            self._open(target)
            if self._lmdb.info()["map_size"] <= current:
                message = f"the map of {current} bytes cannot grow: no more address space"
                raise StoreFullError(message, path=self.folder) from None

    def _open(self, map_size: int | None = None) -> None:
        if not self.users:
            raise StoreClosedError("the store is closed", path=self.folder)
        self._check_not_lost()
        env = None
        with reported(self.folder, "opening the store"):
            self.peers.place.check()
            if not self.readonly:
                files.make_files(Path(self.folder), durable=self.sync != "off")
            try:
                locked = self.peers.join(readonly=self.readonly)
                env = open_files(
                    self.peers,
                    max(map_size or self.map_size, 2 * files.length(self.folder)),
                    self.sync,
                    readonly=self.readonly,
                    locked=locked,
                    let_go=self.let_go,
                )
                self.map_size = env.info()["map_size"]
                self._page_size = env.stat()["psize"]
                self._meta_pages_synced = self.sync == "off"
                if not self.readonly and self.sync != "off":
                    self._preallocator = Preallocator(self.folder)
                self._lmdb = env
            finally:
                if self._lmdb is None:
                    if env is not None:
                        env.close()
                    copies.give_up(self.identity, self.let_go)
                    self.peers.leave()

    def _check_not_lost(self) -> None:
        if self._inherited_env:
            raise StoreClosedError(
                "this process was forked in the middle of a transaction",
                path=self.folder,
                advice="Fork outside of transactions, or start a new process instead.",
            )

    def _close_env(self) -> None:
        env, self._lmdb = self._lmdb, None
        preallocator, self._preallocator = self._preallocator, None
        try:
            if env is not None:
                env.close()
                copies.give_up(self.identity, self.let_go)
            if preallocator is not None:
                preallocator.close()
        finally:
            self.peers.leave()
