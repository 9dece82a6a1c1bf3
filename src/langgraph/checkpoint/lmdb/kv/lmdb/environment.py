"""One LMDB environment, which grows, recovers from failures and survives a fork.

LMDB's map may be resized only while no transaction is open. After a failed write of a meta page the
environment must be opened again. It must not be used across `fork()`. This module hides all that:
`Environment.begin` begins a transaction, `Environment.end` ends it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

import lmdb

from langgraph.checkpoint.lmdb.errors import (
    LmdbSaverError,
    RetryableError,
    StoreClosedError,
    StoreFullError,
    StoreIOError,
    UsageError,
)
from langgraph.checkpoint.lmdb.kv.lmdb import creation, files, opening
from langgraph.checkpoint.lmdb.kv.lmdb.errors import (
    LMDB_FAILURES,
    reported,
    translate_lmdb_error,
    translate_os_error,
)
from langgraph.checkpoint.lmdb.kv.lmdb.meta_pages import rewrite_meta_pages
from langgraph.checkpoint.lmdb.kv.lmdb.opening import Sync
from langgraph.checkpoint.lmdb.kv.lmdb.peers import BusyError, LockFileReplacedError, Peers, is_next
from langgraph.checkpoint.lmdb.kv.lmdb.preallocation import Preallocator, truncate_unused
from langgraph.checkpoint.lmdb.kv.lmdb.process_locks import LockWait
from langgraph.checkpoint.lmdb.kv.lmdb.shared_lock import SharedLock
from langgraph.checkpoint.lmdb.kv.locks import Lock

_ATTEMPTS: Final = 32
"""Attempts to begin a transaction. Each repairs the failure of the attempt before."""
_RESERVE: Final = 64 << 20
"""Bytes of the map to keep free before a long transaction, beside the length of the file."""
_PATIENCE: Final = 60.0
"""Seconds that replacing the map waits for transactions of other threads."""
_COPY_PATIENCE: Final = 10.0
"""Seconds that another copy of this package waits for transactions of this one."""
_CLEAR_EVERY: Final = 64
"""Write transactions after which reader slots of dead processes are freed."""
_REPAIRABLE: Final = (LockFileReplacedError, lmdb.MapResizedError, lmdb.PanicError)
"""Failures after which the environment is opened or mapped again."""


class Environment:
    """The process's only handle on the files of one store.

    Invariants:
        - From `begin` to `end` a thread holds `lock` shared, and the LMDB environment is not
          replaced. A thread closes or replaces it only while it holds `lock` exclusively.
        - One writer at a time: a thread holds `writing` among the threads of the process, then the
          write lock of `peers` among the processes, and then LMDB's own mutex.
        - A commit is durable when `commit` returns: LMDB has flushed the data and the meta page,
          as far as `sync` asks for.
        - A commit that fails, as on a full disk, stores nothing. The next `begin` opens the
          environment again if LMDB asks for it, and rewrites the meta pages before it writes.

    Attributes:
        lock: Lock on the LMDB environment.
        writing: Lock of the thread that writes.
        users: Number of open stores on this environment, guarded by the registry's lock.
        peers: Other processes that use the store.
        _lmdb: The LMDB environment, or None until the next use opens it.
        _preallocator: Writer of zeros ahead of commits, if commits are flushed.
        _meta_pages_synced: True if the disk holds the meta pages, or commits are not flushed.
        _begun: Number of write transactions so far.
        _inherited_env: True if this process was forked while a transaction was open. LMDB's
            objects belong to the parent and are not used.
        _inherited: LMDB's objects of the parent, kept because collecting them would close them.
    """

    def __init__(self, folder: str, sync: Sync, map_size: int, *, readonly: bool) -> None:
        self.folder = folder
        self.peers = Peers(folder)
        self.identity = self.peers.files.identity
        self.sync = sync
        self.readonly = readonly
        self.map_size = map_size
        self.users = 0
        self.lock = SharedLock()
        self.writing = Lock()
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
            owner: The thread, from `lock.check_not_held`.
            write: True for the write transaction, False for a snapshot.
        """
        try:
            return self._begin(owner, write=write)
        except BaseException:
            if write:
                self._stop_waiting(owner)
            raise

    def _begin(self, owner: int, *, write: bool) -> lmdb.Transaction:
        wait: LockWait | None = None
        repairs = 0
        while repairs < _ATTEMPTS:
            transaction: lmdb.Transaction | None = None
            failure: Exception | None = None
            begun = False
            try:
                self.lock.acquire_shared(owner)
                env = self._lmdb
                if env is not None:
                    if write:
                        self.peers.acquire_write()
                        transaction = env.begin(write=True)
                        self._after_begin(env, transaction)
                    else:
                        transaction = self.peers.begin_snapshot(env)
                    begun = True
                    return transaction
            except (*LMDB_FAILURES, BusyError, LockFileReplacedError) as error:
                failure = error.with_traceback(None)  # it would refer to this frame
            except OSError as error:
                raise translate_os_error(error, self.folder, "beginning a transaction") from error
            finally:  # an interrupt may come at any step
                if not begun:
                    if transaction is not None:
                        transaction.abort()
                    self.end(owner, write=write)
            if isinstance(failure, BusyError):  # wait without the lock: a fork must not wait
                wait = wait or LockWait(self.folder, self.identity, writing=write)
                wait.pause()
            else:
                self._repair(env, failure, again=repairs > 0)
                repairs += 1
        raise StoreIOError(f"no transaction could be begun: {failure}", path=self.folder)

    def _stop_waiting(self, owner: int) -> None:
        """Show other processes that this thread no longer waits for the write lock."""
        try:
            self.lock.acquire_shared(owner)
            self.peers.stop_waiting()
        finally:
            self.end(owner, write=True)

    def _after_begin(self, env: lmdb.Environment, transaction: lmdb.Transaction) -> None:
        """Prepare the file for a commit; called in its transaction."""
        info = env.info()
        if not is_next(info["last_txnid"], transaction.id() - 1):
            raise LockFileReplacedError
        used = (info["last_pgno"] + 1) * self._page_size
        try:
            if not self._meta_pages_synced:
                rewrite_meta_pages(self.peers.locks.handle, self._page_size)
                self._meta_pages_synced = True
            grows = self._preallocator is not None and self._preallocator.reserve(used)
        except OSError as error:
            raise translate_os_error(error, self.folder, "preparing a commit") from error
        self._begun += 1
        if grows or self._begun % _CLEAR_EVERY == 0:
            self.peers.clear_slots(env)  # a dead reader keeps free pages from being reused

    def commit(self, transaction: lmdb.Transaction) -> None:
        """Commit a transaction and flush it, as far as `sync` asks for; raise LMDB's errors."""
        self._check_not_inherited()  # in a forked child: the parent continues it
        self.peers.files.check()
        try:
            transaction.commit()
        except LMDB_FAILURES:
            self.distrust_meta_pages()
            raise

    def abort(self, transaction: lmdb.Transaction) -> None:
        """Abort a transaction, if it was not committed."""
        if not self._inherited_env:  # in a forked child: the parent continues it
            transaction.abort()

    def end(self, owner: int, *, write: bool) -> None:
        """Release the locks of a transaction of which nothing is used any longer."""
        # Another thread may write as soon as the lock is released: `end` may be called again.
        if write and self.lock.is_held_by(owner):
            self.peers.release_write()
        self.lock.release_shared(owner)

    def open(self) -> None:
        """Open the LMDB environment, unless it is open."""

        def open_once() -> None:
            if self._lmdb is None:
                self._open()

        if self._lmdb is None:
            self.lock.exclusive(open_once, _PATIENCE)

    def open_for_writing(self, sync: Sync) -> None:
        """Open the LMDB environment for writing, with this `sync`."""

        def upgrade_once() -> None:
            if self.readonly:
                self._upgrade(sync)

        if self.readonly:
            self.lock.exclusive(upgrade_once, _PATIENCE)
        if self.sync != sync:
            raise UsageError(
                f"this process has the store open with sync={self.sync!r}, not {sync!r}",
                path=self.folder,
                advice="Use one setting everywhere, or close the other store first.",
            )
        self.open()

    def distrust_meta_pages(self) -> None:
        """Let the next commit write both meta pages first."""
        self._meta_pages_synced = self.sync == "off"

    def grow(self) -> None:
        """Make the map larger; called by the writer, outside its transaction."""
        self.lock.exclusive(self._grow_map, _PATIENCE)

    def reserve_map(self) -> None:
        """Make the map so large that it need not grow soon, if there is enough address space."""
        self.peers.files.check()
        with suppress(StoreFullError):
            for _ in range(_ATTEMPTS):
                if self.map_size >= 2 * files.length(self.folder) + _RESERVE:
                    return
                self.grow()

    def opened(self) -> lmdb.Environment:
        """Return the LMDB environment, for a thread between `begin` and `end`."""
        assert self._lmdb is not None
        return self._lmdb

    def yield_store(self) -> bool:
        """Close until the next use, for another copy of this package; return True if closed."""
        try:
            self.lock.exclusive(self.close_until_next_use, _COPY_PATIENCE)
        except (UsageError, RetryableError):  # a transaction is open
            return False
        return True

    def close(self) -> None:
        """Close the LMDB environment; called with the lock held exclusively."""
        preallocated = self._preallocator is not None
        self.close_until_next_use()
        with suppress(LmdbSaverError):  # the store is closed, even if its folder was removed
            # Another store may be there: closing its lock file would drop our locks on it.
            self.peers.files.check()
            if preallocated:
                truncate_unused(self.folder)

    def close_until_next_use(self) -> None:
        """Close the LMDB environment; called with the lock held exclusively."""
        env, self._lmdb = self._lmdb, None
        preallocator, self._preallocator = self._preallocator, None
        try:
            if env is not None:
                env.close()
                opening.forget(self.identity, self.yield_store)
            if preallocator is not None:
                preallocator.close()
        finally:
            self.peers.leave()

    def before_fork(self, end: float) -> None:
        """Close, so that a child inherits nothing of LMDB's, unless a transaction is open.

        Args:
            end: Time until which the fork waits for transactions of other threads.
        """
        self.lock.exclusive_before_fork(self.close_until_next_use, end)

    def after_fork_in_child(self) -> None:
        """Start with new locks, and keep what belongs to the parent unused."""
        self._inherited_env = (
            self._inherited_env or self._lmdb is not None or self.lock.is_exclusive()
        )
        if self._lmdb is not None:
            self._inherited.append(self._lmdb)
            self._lmdb = None
        preallocator, self._preallocator = self._preallocator, None
        if preallocator is not None:
            preallocator.close()
        self.peers.leave()
        self.lock = SharedLock()
        self.writing = Lock()

    def _repair(
        self, env: lmdb.Environment | None, failure: Exception | None, *, again: bool
    ) -> None:
        """Repair what made `begin` fail on `env`, or raise."""
        if isinstance(failure, lmdb.ReadersFullError):
            owner = self.lock.check_not_held()
            try:
                self.lock.acquire_shared(owner)
                with reported(self.folder, "clearing the reader table"):
                    cleared = env is not self._lmdb or env is None or self.peers.clear_slots(env)
            finally:
                self.lock.release_shared(owner)
            if cleared or not again:  # another thread may have cleared them just before
                return
        elif failure is None or isinstance(failure, _REPAIRABLE):
            self.lock.exclusive(lambda: self._replace(env, failure), _PATIENCE)
            return
        raise translate_lmdb_error(failure, self.folder, "beginning a transaction") from failure

    def _replace(self, env: lmdb.Environment | None, failure: Exception | None) -> None:
        """Replace an environment that failed, unless another thread has done it."""
        if self._lmdb is not env:
            return
        if isinstance(failure, lmdb.MapResizedError):
            self._grow_map()
        else:
            self.close_until_next_use()
            self._open()

    def _upgrade(self, sync: Sync) -> None:
        """Replace an environment that was opened for reading."""
        self.close_until_next_use()
        before = self.sync
        self.sync, self.readonly = sync, False
        try:
            self._open()
        except LmdbSaverError:
            self.sync, self.readonly = before, True
            raise

    def _grow_map(self) -> None:
        """Replace the map by a larger one, which covers at least the file."""
        if self._lmdb is None:
            return
        current = self._lmdb.info()["map_size"]
        target = max(2 * current, opening.SMALLEST_MAP)
        while target < self.peers.locks.length():
            target *= 2
        try:
            self.peers.forget_slot()
            self._lmdb.set_mapsize(target)
            self.map_size = target
        except lmdb.Error:
            # LMDB dropped the old map before it asked for the new one.
            self.close_until_next_use()
            self._open(target)
            if self._lmdb.info()["map_size"] <= current:
                message = f"the map of {current} bytes cannot grow: no more address space"
                raise StoreFullError(message, path=self.folder) from None

    def _open(self, map_size: int | None = None) -> None:
        if not self.users:
            raise StoreClosedError("the store is closed", path=self.folder)
        self._check_not_inherited()
        env = None
        with reported(self.folder, "opening the store"):
            self.peers.files.check()
            if not self.readonly:
                creation.make_files(Path(self.folder), durable=self.sync != "off")
            try:
                locked = self.peers.join(readonly=self.readonly)
                env = opening.open_files(
                    self.peers,
                    max(map_size or self.map_size, 2 * files.length(self.folder)),
                    self.sync,
                    readonly=self.readonly,
                    locked=locked,
                    yield_store=self.yield_store,
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
                    opening.forget(self.identity, self.yield_store)
                    self.peers.leave()

    def _check_not_inherited(self) -> None:
        if self._inherited_env:
            raise StoreClosedError(
                "this process was forked in the middle of a transaction",
                path=self.folder,
                advice="Fork outside of transactions, or start a new process instead.",
            )
