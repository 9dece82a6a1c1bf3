"""A key-value store with a log in front of another one.

A commit is a record at the end of the log, and one flush. The base is only written by merges, which
are ordinary transactions of the base: they hold the changes of an epoch, and the state that says
so. The model in the tests, `tests/kv/log/protocol.py`, tries every order of these steps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from typing import Final, TypeVar

from langgraph.checkpoint.lmdb.errors import (
    LmdbSaverError,
    ReadOnlyError,
    StoreClosedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.kv.base import (
    FileStore,
    KeyValueStore,
    PageCheck,
    Progress,
    Reader,
    Writer,
)
from langgraph.checkpoint.lmdb.kv.lmdb.condition import Condition
from langgraph.checkpoint.lmdb.kv.lmdb.errors import reported, translate_os_error
from langgraph.checkpoint.lmdb.kv.lmdb.opening import Sync
from langgraph.checkpoint.lmdb.kv.lmdb.store import DEFAULT_MAP_SIZE, LmdbStore
from langgraph.checkpoint.lmdb.kv.log import counters as shared
from langgraph.checkpoint.lmdb.kv.log import log_file, process_log, records, transactions
from langgraph.checkpoint.lmdb.kv.log import state as states
from langgraph.checkpoint.lmdb.kv.log.epoch import Epoch
from langgraph.checkpoint.lmdb.kv.log.process_log import ProcessLog
from langgraph.checkpoint.lmdb.kv.log.records import Changes
from langgraph.checkpoint.lmdb.kv.log.snapshots import Snapshot
from langgraph.checkpoint.lmdb.kv.log.transactions import LogReader, LogWriter

T = TypeVar("T")

_MAX_KEYS: Final = 2000
"""Changed keys in the log, at most. Writers wait for their merge: `python -m benches.merges` shows
how long."""


class LogStore(KeyValueStore, FileStore):
    """A store with a log.

    Invariants:
        - A write is acknowledged after the flush of its record, or after the merge that holds it.
        - Everything that changes the log or the base happens in the turn, between setting
          `Counters.unfinished` and clearing it. A process that finds it set merges first.
        - Readers see no record above `Counters.durable`.
        - An epoch begins with a size of the log only when the file of the log is there.

    Args:
        base: The other store, in a folder. Only this store may write to it.
        sync: `"full"` flushes each commit. `"normal"` and `"off"` do not.
    """

    __slots__ = ("__weakref__", "_base", "_closed", "_flushes", "_log", "readonly")

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        sync: Sync = "full",
        map_size: int = DEFAULT_MAP_SIZE,
        readonly: bool = False,
    ) -> LogStore:
        """Open the store in the folder `path`, as `LmdbStore.open` does."""
        # A merge is flushed unless nothing is: it overwrites the log that it replaces.
        base_sync: Sync = "off" if sync == "off" else "full"
        try:
            base = LmdbStore.open(path, sync=base_sync, map_size=map_size, readonly=readonly)
        except UsageError:  # it may name the setting of the base
            process_log.check_sync(os.path.realpath(path), sync)
            raise
        try:
            return cls(base, sync)
        except BaseException:
            base.close()
            raise

    def __init__(self, base: LmdbStore, sync: Sync = "full") -> None:
        self.readonly = base.readonly
        self._base = base
        self._flushes = sync == "full"
        self._closed = False
        if self.readonly:
            self._log = ProcessLog(base.folder, None)
            return
        self._log = process_log.acquire(base.folder, base.identity, sync, self)
        self._in_turn(self._recover)

    def _recover(self) -> None:
        """Find out how far the log is whole: after a power failure the counters are wrong."""
        counters = self._log.counters()
        if counters.unfinished:
            self._mend()
        with self._base.read() as snapshot:
            counters.durable = self._adopted(snapshot).position.number
        counters.unbar()

    @property
    def identity(self) -> Hashable:
        return self._base.identity

    @property
    def files(self) -> LogStore:
        return self

    @property
    def folder(self) -> str:
        return self._base.folder

    @property
    def flushes(self) -> bool:
        return self._flushes

    def read(self) -> AbstractContextManager[Reader]:
        self._check_open()
        return Snapshot(self._base, self._log)

    def write(self, apply: Callable[[Writer], T]) -> T:
        self._check_open()
        if self.readonly:
            raise ReadOnlyError("the store was opened for reading", path=self.folder)
        self.check_no_transaction()
        return self._in_turn(lambda: self._commit(apply))

    def _in_turn(self, action: Callable[[], T]) -> T:
        """Call a function in the turn of this thread among the threads, and among processes.

        A context manager has Python code, in which an interrupt would keep the turn.
        """
        self._log.writing.check_free()  # a signal handler must not end the turn of a commit
        with self._log.writing:
            with reported(self.folder, "opening the log"):
                counters = self._log.counters()
            try:
                with reported(self.folder, "waiting for the log"):
                    counters.take_turn()
                return action()
            finally:
                try:  # noqa: SIM105 - `suppress` is Python code, before which an interrupt may come
                    counters.unlock()
                except OSError:
                    pass  # the system refuses: `end_turn` tries again
                counters.end_turn()

    def _commit(self, apply: Callable[[Writer], T]) -> T:
        self._check_open()  # another thread may have closed the store while this one waited
        if self._log.counters().unfinished:
            self._mend()
        with self._base.read() as snapshot:
            epoch = self._caught_up(snapshot)
            writer = LogWriter(LogReader(snapshot, epoch, epoch.position.number))
            result = apply(writer)
            writer.close()
        if writer.changes and not self._append(epoch, writer.changes):
            self._merge(epoch, writer.changes)
        return result

    def _caught_up(self, snapshot: Reader) -> Epoch:
        """Return the epoch of the base with all its records; called in the turn."""
        epoch = self._adopted(snapshot)
        if epoch.position.number < self._log.counters().durable:
            raise log_file.damaged(self.folder)
        return epoch

    def _adopted(self, snapshot: Reader, *, limited: bool = False) -> Epoch:
        """Return the epoch of the base with all records that are whole; called in the turn.

        Args:
            snapshot: A snapshot of the base.
            limited: Leave out a record that is barred.
        """
        epoch = self._log.epoch(snapshot)
        if epoch.state.size:
            limit = self._log.counters().end_of(epoch.state.epoch) if limited else None
            with reported(self.folder, "reading the log"):
                log = self._log.log(epoch)
                log.check()
                epoch.adopt(log, limit)
        return epoch

    def _append(self, epoch: Epoch, changes: Changes) -> bool:
        """Append a record and flush it; return False if a merge is due."""
        room = epoch.state.size - epoch.position.offset
        if len(epoch.overlay) + len(changes) > _MAX_KEYS or records.least_size(changes) > room:
            return False
        record, position = records.encode(epoch.position, changes)
        if len(record) > room:
            return False
        log, counters = self._log.log(epoch), self._log.counters()
        counters.unfinished = True
        try:
            log.write(record, epoch.position.offset)
            if self._flushes:
                log.flush()
        except OSError as error:
            self._exclude(epoch)
            raise translate_os_error(error, self.folder, "writing to the log") from error
        epoch.add(changes, position)
        counters.durable = position.number
        counters.unfinished = False
        return True

    def _exclude(self, epoch: Epoch) -> None:
        """Make sure that a record that failed is never read: begin another epoch without it.

        After a failed flush, the kernel may take its pages for flushed.
        """
        self._log.counters().bar(epoch.state.epoch, epoch.position.number + 1)
        with suppress(LmdbSaverError):  # then the next writer merges
            self._merge(epoch, {})

    def _mend(self) -> None:
        """Merge what a process left unfinished that died or failed."""
        self._base.distrust_meta_pages()  # it may have died or failed while it wrote them
        with self._base.read() as snapshot:
            epoch = self._adopted(snapshot, limited=True)
        self._merge(epoch, {})

    def _merge(self, epoch: Epoch, changes: Changes, *, uses_log: bool = True) -> None:
        """Write the records of an epoch and further changes to the base; begin another epoch."""
        size = epoch.state.size if uses_log else 0
        if uses_log and not size:
            with reported(self.folder, "creating the log"):
                size = self._log.create_log()
        number = epoch.position.number + bool(changes)
        state = epoch.state.next(number, size)
        merged = {**epoch.overlay.latest(), **changes, states.KEY: state.encode()}
        counters = self._log.counters()
        counters.unfinished = True
        self._base.write(lambda writer: transactions.apply(writer, merged))
        counters.durable = number
        counters.unfinished = False

    def merge(self) -> None:
        """Write all that the log holds to the base."""
        self._in_turn(lambda: self._merge_all(uses_log=True))

    def _merge_all(self, *, uses_log: bool) -> None:
        """Write all that the log holds to the base.

        Args:
            uses_log: False: until the next write, the base alone is the whole store.
        """
        if self._log.counters().unfinished:
            self._mend()
        with self._base.read() as snapshot:
            epoch = self._caught_up(snapshot)
        if epoch.state.size and (epoch.position.offset or not uses_log):
            self._merge(epoch, {}, uses_log=uses_log)

    def check_no_transaction(self) -> None:
        self._base.check_no_transaction()
        self._log.writing.check_free()

    def check_pages(self) -> PageCheck:
        return self._base.check_pages()

    def condition(self) -> Condition:
        """Return the condition of the store's files."""
        found = self._base.condition()
        with reported(self.folder, "examining the log"):
            occupied = found.occupied + log_file.occupied(self.folder)
            writers = {*found.writers, *shared.writers(self.folder)}
        return replace(found, occupied=occupied, writers=tuple(sorted(writers)))

    def size(self) -> int:
        base = self._base.size()
        with reported(self.folder, "measuring the store"):
            return base + log_file.occupied(self.folder)

    def reserve_map(self) -> None:
        self._base.reserve_map()

    def backup(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        turn = ExitStack()

        def on_progress(done: int, total: int) -> None:
            turn.close()  # the copy has its snapshot of the base
            if progress is not None:
                progress(done, total)

        self.check_no_transaction()
        with turn:
            turn.enter_context(self._log.writing)
            with reported(self.folder, "waiting for the log"):
                counters = self._log.counters()
                turn.callback(counters.end_turn)
                counters.take_turn()
            self._merge_all(uses_log=False)
            self._base.backup(path, on_progress)

    def new_store(self, path: str | os.PathLike[str]) -> AbstractContextManager[KeyValueStore]:
        return self._base.new_store(path)

    def compact(self) -> int:
        before = self.size()
        self.merge()
        self._base.compact()
        return max(before - self.size(), 0)

    def close(self) -> None:
        if self._closed:
            return
        self.check_no_transaction()
        self._closed = True
        log = self._log
        log.users.discard(self)
        try:
            if not log.users and not self.readonly:
                self._leave()
        finally:
            self._base.close()  # after the open transactions of other threads
            if not log.users:
                log.close()

    def _leave(self) -> None:
        """Let the base alone be the whole store. If that fails, the log has what the base lacks."""

        def leave() -> None:
            self._merge_all(uses_log=False)
            with reported(self.folder, "removing the log"):
                self._log.counters().remove(log_file.NAME, log_file.NEW)

        with suppress(LmdbSaverError):
            self._in_turn(leave)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError("the store is closed", path=self.folder)
