"""The key-value interface: ordered keys, snapshots, one write transaction at a time."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int], object]


class Gather(Protocol):
    """`Reader.gather`."""

    def __call__(self, calls: Iterable[Callable[[], T]]) -> Iterator[T]: ...


MAX_KEY_SIZE = 511


class Reader(ABC):
    """A consistent snapshot of a store, used by the thread that took it.

    Keys are 1 to 511 bytes and sort as bytes. A method raises ValueError for any other key. Bounds
    of ranges may be any bytes: `b""` is before every key.
    """

    __slots__ = ()

    many_writers: bool = False
    """True if write transactions run at the same time, so that no record may be part of every one
    of them: numbers come from `Writer.new_number`, and readers add up the totals."""

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""

    def raw(self, key: bytes) -> tuple[bytes, bytes] | None:
        """Return the key and the value as the store's files hold them, or None.

        An encrypting store returns them encrypted, whether or not they can be decrypted.
        """
        value = self.get(key)
        return None if value is None else (key, value)

    @abstractmethod
    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys from `start` up to but excluding `stop`, each with its value.

        In a write transaction the iterator follows the changes made while it runs: from the key it
        yielded last it moves to that key's neighbor at the time of the step.

        Args:
            start: Lowest key to yield.
            stop: First key after the range.
            reverse: Descending instead of ascending.
        """

    @abstractmethod
    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        """Yield the keys of a range, as `range` does, without the values."""

    def first_key(self, start: bytes, stop: bytes, *, reverse: bool = False) -> bytes | None:
        """Return the first key that `keys` yields, or None if the range is empty."""
        return next(iter(self.keys(start, stop, reverse=reverse)), None)

    def get_many(self, keys: Iterable[bytes]) -> Iterator[bytes | None]:
        """Yield the value of each key, or None. A store on another machine reads all in one trip.

        Use the iterator up before the next change of a write transaction.
        """
        return map(self.get, keys)

    def ranges(
        self, bounds: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[Iterator[tuple[bytes, bytes]]]:
        """Yield an iterator for each range, as `range` returns it; see `get_many`.

        Args:
            bounds: Lowest key of each range, and the first key after it.
        """
        return (self.range(start, stop) for start, stop in bounds)

    def sizes(self, bounds: Iterable[tuple[bytes, bytes]]) -> Iterator[int]:
        """Yield the bytes of the keys and values of each range; see `ranges`."""
        return (sum(len(key) + len(value) for key, value in rows) for rows in self.ranges(bounds))

    def gather(self, calls: Iterable[Callable[[], T]]) -> Iterator[T]:
        """Yield what each call returns. A store on another machine reads for all of them in the
        same trips.

        Args:
            calls: Functions that read from this transaction, and change nothing. They may run more
                than once.
        """
        return _one_by_one(calls)

    def now(self) -> int | None:
        """Return the time of the store's own clock, in milliseconds since the epoch.

        None: the store has no clock. Its processes are on one machine, and share that clock.
        """
        return None


class Writer(Reader):
    """A write transaction; its reads see its own writes."""

    __slots__ = ()

    @abstractmethod
    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of `key`."""

    @abstractmethod
    def delete(self, key: bytes) -> bool:
        """Delete `key`; return True if the store had it."""

    def discard(self, key: bytes) -> None:
        """Delete `key` if the store has it."""
        self.delete(key)

    @abstractmethod
    def delete_range(self, start: bytes, stop: bytes) -> int:
        """Delete the keys from `start` up to but excluding `stop`; return their number."""

    def new_number(self) -> int:
        """Return a positive number that no other call returns, if the store has `many_writers`."""
        raise NotImplementedError


class KeyValueStore(ABC):
    """An ordered, transactional map from short bytes to bytes, for any number of threads.

    A thread has at most one transaction of a store open at a time, of either kind; a second one
    raises UsageError. Readers block neither writers nor one another.
    """

    __slots__ = ()

    readonly: bool

    @property
    def identity(self) -> Hashable:
        """Identity of the store: equal for two objects that open the same store."""
        return id(self)

    @property
    def flushes(self) -> bool:
        """True if commits wait for a disk, so that operations gain from sharing a commit."""
        return True

    @property
    def lanes(self) -> int:
        """Number of transactions that the store commits at the same time."""
        return 1

    @property
    def is_remote(self) -> bool:
        """True if each read is a trip to another machine, so that much is read at a time."""
        return False

    @abstractmethod
    def read(self) -> AbstractContextManager[Reader]:
        """Return a snapshot, for the length of a `with` block.

        Keep it short: writers cannot reuse the space of what an open snapshot sees. Never hold it
        across a `yield` or an `await`.

        Raises:
            StoreClosedError: The store was closed.
            TooManyReadersError: Too many snapshots are open on the machine.
            StoreBusyError: Another process keeps the table of readers.
            StoreReplacedError: The store's files were removed, moved or replaced.
            StoreIOError: The store's files could not be read.
        """

    def view(self, apply: Callable[[Reader], T]) -> T:
        """Run `apply` on a snapshot, and return what it returned.

        A store on another machine may answer with what it has cached, after it asked whether that
        has changed. `apply` may run more than once, each time on a new snapshot.
        """
        with self.read() as reader:
            return apply(reader)

    @abstractmethod
    def write(self, apply: Callable[[Writer], T]) -> T:
        """Run `apply` in the write transaction, commit, and return what it returned.

        An exception of `apply` aborts the whole transaction and is raised again. `apply` may run
        more than once, each time on a new transaction, so it must have no side effects except on
        the writer and its result.

        Raises:
            StoreClosedError: The store was closed.
            ReadOnlyError: The store was opened for reading.
            StoreFullError: The disk or the map is full; nothing was stored.
            StoreIOError: Writing failed; nothing was stored.
            StoreBusyError: Another process keeps the write lock; nothing was stored.
            StoreReplacedError: The store's files were removed, moved or replaced; nothing was
                stored.
        """

    def one_moment(
        self,
        rows: int = 1,  # noqa: ARG002
        before: str | None = None,  # noqa: ARG002
    ) -> AbstractContextManager[Gather]:
        """Let the snapshots of this thread be of one moment if the store `is_remote`.

        Args:
            rows: Rows of the end of a thread's history that will be read.
            before: Id of the row behind them. None: they are the last ones.

        Returns:
            A context of `Reader.gather` in that moment, for functions that take snapshots.
        """
        return nullcontext(_one_by_one)

    def check_no_transaction(self) -> None:  # noqa: B027 - a store without locks has none to check
        """Raise UsageError if this thread could not write now, because it is inside the store."""

    @property
    def files(self) -> FileStore | None:
        """The files of the store; None if it has no files."""
        return None

    @property
    def folder(self) -> str | None:
        """Folder of the store's files; None if it has no files."""
        return None if self.files is None else self.files.folder

    @abstractmethod
    def size(self) -> int:
        """Return the bytes that the store occupies on disk, as allocated by the file system."""

    def reserve_map(self) -> None:  # noqa: B027 - some kinds of store need none
        """Prepare for a long read that begins now, so that writers need not wait for its end.

        Raises:
            StoreClosedError: The store was closed.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the store, after the open transactions of other threads have ended.

        Closing twice does nothing. Any other use afterwards raises StoreClosedError.
        """


class WrapperStore(KeyValueStore):
    """A store on top of another one, which gets every call except those for transactions.

    Args:
        inner: The other store.
    """

    __slots__ = ("inner", "readonly")

    def __init__(self, inner: KeyValueStore) -> None:
        self.inner = inner
        self.readonly = inner.readonly

    @property
    def identity(self) -> Hashable:
        return self.inner.identity

    @property
    def flushes(self) -> bool:
        return self.inner.flushes

    @property
    def lanes(self) -> int:
        return self.inner.lanes

    @property
    def is_remote(self) -> bool:
        return self.inner.is_remote

    def one_moment(
        self, rows: int = 1, before: str | None = None
    ) -> AbstractContextManager[Gather]:
        return self.inner.one_moment(rows, before)

    def check_no_transaction(self) -> None:
        self.inner.check_no_transaction()

    @property
    def files(self) -> FileStore | None:
        return self.inner.files

    def size(self) -> int:
        return self.inner.size()

    def reserve_map(self) -> None:
        self.inner.reserve_map()

    def close(self) -> None:
        self.inner.close()


@dataclass(frozen=True, slots=True)
class PageCheck:
    """The problems that a check of a store's pages found."""

    problems: tuple[str, ...] = ()
    skipped_reason: str | None = None
    """Reason that nothing was checked. None: everything was checked."""


class FileStore(ABC):
    """The files of a key-value store that is stored in a folder."""

    __slots__ = ()

    @property
    @abstractmethod
    def folder(self) -> str:
        """The folder."""

    @abstractmethod
    def check_pages(self) -> PageCheck:
        """Check the pages of the files.

        A snapshot is open during the check, so writers cannot reuse freed space.

        Raises:
            StoreIOError: The files could not be read.
        """

    @abstractmethod
    def backup(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """Copy one snapshot of the store to a new folder, completely or not at all.

        Args:
            path: The folder, which must not exist.
            progress: Function to call with the bytes written so far and the total bytes.

        Raises:
            InvalidPathError: The path exists, or cannot be created.
            StoreFullError: The disk is full.
        """

    @abstractmethod
    def new_store(self, path: str | os.PathLike[str]) -> AbstractContextManager[KeyValueStore]:
        """Create an empty store of the same kind in a new folder, and close it after the block.

        An error in the block deletes the folder. The folder gets its name after the block.

        Args:
            path: The folder, which must not exist.

        Raises:
            InvalidPathError: The path exists, or cannot be created.
            StoreFullError: The disk is full.
        """

    @abstractmethod
    def compact(self) -> int:
        """Return unused space to the file system; return about how many bytes.

        Raises:
            UsageError: The file system cannot free parts of a file.
        """


def _one_by_one(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    return (call() for call in calls)


def check_key(key: bytes) -> None:
    """Raise ValueError unless `key` can be a key."""
    if not 0 < len(key) <= MAX_KEY_SIZE:
        raise ValueError(f"a key is 1 to {MAX_KEY_SIZE} bytes long, this one {len(key)}")
