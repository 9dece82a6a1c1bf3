"""The store on LMDB."""

from __future__ import annotations

import gc
import os
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TypeVar

import lmdb

from langgraph.checkpoint.lmdb.errors import (
    ReadOnlyError,
    RetryableError,
    StoreBusyError,
    StoreClosedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.kv.base import (
    MAX_KEY_SIZE,
    FileStore,
    KeyValueStore,
    PageCheck,
    Progress,
    Writer,
)
from langgraph.checkpoint.lmdb.kv.lmdb import backup, creation, files, page_check, registry
from langgraph.checkpoint.lmdb.kv.lmdb.compaction import Compaction, oldest_snapshot
from langgraph.checkpoint.lmdb.kv.lmdb.condition import Condition, read_condition
from langgraph.checkpoint.lmdb.kv.lmdb.environment import Environment
from langgraph.checkpoint.lmdb.kv.lmdb.errors import reported
from langgraph.checkpoint.lmdb.kv.lmdb.opening import Sync
from langgraph.checkpoint.lmdb.kv.lmdb.transactions import LmdbReader, LmdbWriter

T = TypeVar("T")

DEFAULT_MAP_SIZE = 16 << 20


class LmdbStore(KeyValueStore, FileStore):
    """A store in a folder of its own, made by `LmdbStore.open`.

    Invariants:
        - A write is durable when `write` returns, as far as `sync` promises. Before that, it is
          complete or absent after a crash.
        - Writers take turns in `Environment.writing` among threads, and in `Peers.acquire_write`
          among processes. Readers never block. In a store with a log, a writer has taken the
          turn of `LogStore._in_turn` before.
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

    def distrust_meta_pages(self) -> None:
        """Let the next commit write both meta pages first: another process may have failed."""
        self._environment().distrust_meta_pages()

    def check_no_transaction(self) -> None:
        env = self._environment()
        env.lock.check_not_held()
        env.writing.check_free()

    @property
    def files(self) -> LmdbStore:
        return self

    @property
    def folder(self) -> str:
        return self._folder

    def check_pages(self) -> PageCheck:
        self.reserve_map()
        with self.read():  # its pages are not reused during the check
            return page_check.check(self._folder)

    def condition(self) -> Condition:
        """Return the condition of the store's files."""
        env = self._environment()
        with self.read(), reported(self._folder, "examining the store"):
            return read_condition(env)

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

    def new_store(self, path: str | os.PathLike[str]) -> AbstractContextManager[KeyValueStore]:
        return new_store(path, self._folder)

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


@contextmanager
def new_store(path: str | os.PathLike[str], source: str | None = None) -> Iterator[LmdbStore]:
    """Create an empty store in a new folder, as `FileStore.new_store` does.

    Args:
        path: The folder, which must not exist.
        source: Folder in which the new folder must not be.
    """
    target = creation.check_target(path, source)
    with (
        creation.new_folder(target, "copying the store") as folder,
        closing(LmdbStore.open(folder)) as store,
    ):
        yield store


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
