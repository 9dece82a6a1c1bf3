"""The store on LMDB."""

from __future__ import annotations

import gc
import warnings
import weakref
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

import lmdb

from langgraph.checkpoint.lmdb.errors import (
    ReadOnlyError,
    RetryableError,
    StoreBusyError,
    StoreClosedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.kv.base import MAX_KEY_SIZE, KeyValueStore, Reader, Writer, check_key
from langgraph.checkpoint.lmdb.kv.lmdb import backup, creation, files, page_check, registry
from langgraph.checkpoint.lmdb.kv.lmdb.compaction import Compaction, oldest_snapshot
from langgraph.checkpoint.lmdb.kv.lmdb.errors import LMDB_FAILURES, reported, translate_lmdb_error

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from langgraph.checkpoint.lmdb.kv.base import Progress
    from langgraph.checkpoint.lmdb.kv.lmdb.environment import Environment
    from langgraph.checkpoint.lmdb.kv.lmdb.opening import Sync
    from langgraph.checkpoint.lmdb.kv.page_report import PageCheck

T = TypeVar("T")

DEFAULT_MAP_SIZE = 16 << 20


class _FinishedTransaction:
    """A placeholder for a closed transaction."""

    def __getattr__(self, name: str) -> NoReturn:
        raise UsageError("the transaction is closed", advice="Read within the `with` block.")


_FINISHED: Any = _FinishedTransaction()


class LmdbReader(Reader):
    """A snapshot of the store."""

    __slots__ = ("_changes", "_env", "_owner", "_store", "_txn")

    _writes: ClassVar = False

    def __init__(self, store: LmdbStore) -> None:
        self._store = store
        self._owner: int | None = None
        self._txn = _FINISHED
        self._changes = 0

    def __enter__(self) -> Self:
        self._env = self._store._environment()
        self._owner = self._env.lock.check_not_held()
        self._txn = self._env.begin(self._owner, write=self._writes)
        return self

    def __del__(self) -> None:
        # An interrupt can keep a `with` block from being entered or left in full, or this
        # object from being made.
        if getattr(self, "_owner", None) is not None:
            self.__exit__(None, None, None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        transaction, self._txn = self._txn, _FINISHED
        try:
            if transaction is _FINISHED:
                pass
            elif self._writes:
                self._env.abort(transaction)
            else:
                with self._env.peers.ending():
                    self._env.abort(transaction)
                    del transaction  # with the last reference its slot is free
                    self._env.peers.keep_slot()
        finally:
            transaction = _FINISHED  # also after an interrupt
            if self._owner is not None:
                self._env.end(self._owner, write=self._writes)
                self._owner = None

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._txn.get(key)
        except LMDB_FAILURES as error:
            raise self._failed(error, key) from error
        if value is None:
            check_key(key)
        return value

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._scan(start, stop, reverse, values=True)

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        return self._scan(start, stop, reverse, values=False)

    def _scan(self, start: bytes, stop: bytes, reverse: bool, *, values: bool) -> Iterator[Any]:
        """Yield the keys of a range, each with its value or alone."""
        try:
            cursor = self._txn.cursor()
            step = cursor.iterprev if reverse else cursor.iternext
            while start < stop and _seek(cursor, start, stop, reverse):
                changes = self._changes
                for item in step(keys=True, values=values):
                    key = item[0] if values else item
                    if key < start or key >= stop:
                        return
                    yield item
                    if self._changes != changes:
                        start, stop = (start, key) if reverse else (key + b"\0", stop)
                        break
                else:
                    return
        except LMDB_FAILURES as error:
            raise self._failed(error, start) from error

    def _failed(self, error: Exception, key: bytes) -> Exception:
        if self._txn is _FINISHED:
            return UsageError("the transaction is closed", advice="Read within the `with` block.")
        if isinstance(error, lmdb.BadValsizeError):
            check_key(key)
        return translate_lmdb_error(error, self._env.folder, "reading")


class LmdbWriter(LmdbReader, Writer):
    """The write transaction.

    Attributes:
        failure: The first error of LMDB, after which it refuses the rest of the transaction.
    """

    __slots__ = ("failure",)

    _writes = True

    def __init__(self, store: LmdbStore) -> None:
        super().__init__(store)
        self.failure: Exception | None = None

    def put(self, key: bytes, value: bytes) -> None:
        self._changes += 1
        try:
            self._txn.put(key, value)
        except LMDB_FAILURES as error:
            raise self._failed(error, key) from error

    def delete(self, key: bytes) -> bool:
        self._changes += 1
        try:
            deleted: bool = self._txn.delete(key)
        except LMDB_FAILURES as error:
            raise self._failed(error, key) from error
        if not deleted:
            check_key(key)
        return deleted

    def delete_range(self, start: bytes, stop: bytes) -> int:
        self._changes += 1
        count = 0
        try:
            cursor = self._txn.cursor()
            found = start < stop and cursor.set_range(start)
            while found and cursor.key() < stop:
                cursor.delete()  # moves to the next key
                found = bool(cursor.key())
                count += 1
        except LMDB_FAILURES as error:
            raise self._failed(error, start) from error
        return count

    def commit(self) -> None:
        """Commit and flush the changes, or raise and change nothing."""
        try:
            if self.failure is not None:
                raise self.failure
            self._env.commit(self._txn)
        except LMDB_FAILURES as error:
            self.failure = error
            raise translate_lmdb_error(error, self._env.folder, "writing") from error

    def _failed(self, error: Exception, key: bytes) -> Exception:
        if self._txn is not _FINISHED and not isinstance(error, lmdb.BadValsizeError):
            self.failure = self.failure or error
            return translate_lmdb_error(error, self._env.folder, "writing")
        return super()._failed(error, key)


class LmdbStore(KeyValueStore):
    """A store in a folder of its own, made by `LmdbStore.open`.

    Invariants:
        - A write is durable when `write` returns, as far as `sync` promises. Before that, it is
          complete or absent after a crash.
        - Writers take turns in `Environment.writing` among threads, and in `Peers.acquire_write`
          among processes. Readers never block.
        - On a full disk, `LmdbWriter.commit` raises StoreFullError and nothing is stored. On a full
          map, `write` makes the map larger and runs the transaction again.
    """

    __slots__ = ("__weakref__", "_env", "_folder", "_holding", "readonly")

    def __init__(self, env: Environment, *, readonly: bool) -> None:
        self.readonly = readonly
        self._folder = env.folder
        self._env: Environment | None = env
        # All users of the store refer to this object: when it is collected, none is left.
        self._holding = weakref.finalize(self, _collected, env)
        self._holding.atexit = False

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        sync: Sync = "full",
        map_size: int = DEFAULT_MAP_SIZE,
        readonly: bool = False,
    ) -> LmdbStore:
        """Open the store in the folder `path`. A missing store is created, for its owner only.

        All stores that a process opens on one folder share one LMDB environment. A child of
        `os.fork()` opens the files again at first use. A fork waits up to one second for open
        transactions. If one is open after that, the child's calls raise StoreClosedError.

        Args:
            path: The folder, which holds `data.mdb` and `lock.mdb`.
            sync: `"full"` survives power loss; `"normal"` never corrupts but may lose the last
                commits on power loss; `"off"` leaves flushing to the system, which may corrupt on
                power loss. No crash of the process loses anything.
            map_size: Bytes of address space to start with, or twice the data file's length if that
                is more. It takes no space on disk and grows automatically. It starts smaller if the
                system refuses the size.
            readonly: Create and write nothing. If the lock file cannot be opened, as on a
                read-only file system, the store is read without it. Then no other process may
                write at the same time.

        Raises:
            InvalidPathError: The path cannot hold a store, or `readonly` and the store is missing.
            UsageError: This process has the store open with another `sync`.
            DamagedError: The files are damaged.
            FormatVersionError: Another version of LMDB wrote the files.
            StoreFullError: The disk is full.
            StoreBusyError: Another process has the store open with another lock file.
            StoreReplacedError: Another process uses the lock file with another data file.
        """
        if sync not in ("full", "normal", "off"):
            raise UsageError(f'sync must be "full", "normal" or "off", got {sync!r}')
        if map_size <= 0:
            raise UsageError(f"map_size must be a positive number of bytes, got {map_size!r}")
        try:
            return cls._open(path, sync, map_size, readonly)
        except RetryableError as error:
            # Dropped stores in reference cycles may hold the missing resource.
            if isinstance(error, StoreBusyError) or not gc.collect():
                raise
        return cls._open(path, sync, map_size, readonly)

    @classmethod
    def _open(
        cls, path: str | os.PathLike[str], sync: Sync, map_size: int, readonly: bool
    ) -> LmdbStore:
        folder = creation.prepare(path, readonly=readonly, durable=sync != "off")
        env = registry.acquire(folder, sync, map_size, readonly=readonly)
        return cls(env, readonly=readonly)

    @property
    def identity(self) -> tuple[int, int]:
        return self._environment().identity

    @property
    def flushes(self) -> bool:
        return self._environment().sync != "off"

    def read(self) -> LmdbReader:
        return LmdbReader(self)

    def write(self, apply: Callable[[Writer], T]) -> T:
        env = self._environment()
        if self.readonly:
            raise ReadOnlyError("the store was opened for reading", path=self._folder)
        self.check_no_transaction()
        with env.writing:
            while True:
                writer = LmdbWriter(self)
                try:
                    with writer:
                        result = apply(writer)
                        writer.commit()
                        return result
                except Exception:
                    if not isinstance(writer.failure, lmdb.MapFullError):
                        raise
                env.grow()

    def check_no_transaction(self) -> None:
        env = self._environment()
        env.lock.check_not_held()
        env.writing.check_free()

    @property
    def folder(self) -> str:
        return self._folder

    def check_pages(self) -> PageCheck:
        self.reserve_map()
        with self.read():  # its pages are not reused during the check
            return page_check.check(self._folder)

    def size(self) -> int:
        env = self._environment()
        with reported(self._folder, "measuring the store"):
            env.peers.files.check()
            return files.occupied(self._folder)

    def reserve_map(self) -> None:
        env = self._environment()
        env.lock.check_not_held()
        with reported(self._folder, "enlarging the store's map"):
            env.reserve_map()

    def backup(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        env = self._environment()
        target = creation.check_target(path, self._folder)
        self.reserve_map()
        with self.read():  # keeps the environment open
            backup.write(env, target, progress)

    def compact(self) -> int:
        env = self._environment()
        before = self.size()
        # Pages that the last two transactions freed can be removed after two more.
        for _ in range(2):
            self.write(_noop_commit)

        def punch_batch(writer: Writer) -> bool:
            assert isinstance(writer, LmdbWriter)
            env.peers.clear_slots(env.opened())
            number = writer._txn.id()
            return compaction.punch_batch(number, oldest_snapshot(env.opened(), number))

        with (
            reported(self._folder, "compacting the store"),
            closing(Compaction(self._folder, env.identity)) as compaction,
        ):
            while not self.write(punch_batch):
                pass
        return max(before - self.size(), 0)

    def close(self) -> None:
        env = self._env
        if env is None:
            return
        env.lock.check_not_held()
        registry.check_free()
        self._env = None
        if self._holding.detach() is not None:  # one of several threads that close gets it
            registry.release(env)

    def _environment(self) -> Environment:
        env = self._env
        if env is None:
            raise StoreClosedError("the store is closed", path=self._folder)
        return env


def _collected(env: Environment) -> None:
    """Release the environment of a collected store. This may run at any moment."""
    registry.drop(env)
    message = f"the store {env.folder!r} was not closed: call close() on its saver"
    warnings.warn(message, ResourceWarning, stacklevel=2, source=env)


def _noop_commit(writer: Writer) -> None:
    """Write one record again, so that the transaction is committed but changes nothing."""
    for key, value in writer.range(b"\0", b"\xff" * MAX_KEY_SIZE):
        writer.put(key, value)
        return


def _seek(cursor: lmdb.Cursor, start: bytes, stop: bytes, reverse: bool) -> bool:
    """Move the cursor to the first key of a range, or behind it; return False if it is missing."""
    if not reverse:
        return bool(cursor.set_range(start))
    return bool(cursor.prev() if cursor.set_range(stop) else cursor.last())
