"""What a key-value store offers: ordered keys, snapshots, one write transaction at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.page_report import PageCheck

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Iterator
    from contextlib import AbstractContextManager

    Progress: TypeAlias = Callable[[int, int], object]

T = TypeVar("T")

MAX_KEY_SIZE = 511


class Reader(ABC):
    """One consistent snapshot of a store, used by the thread that took it.

    Keys are 1 to 511 bytes and ordered as bytes are; a method that is given any other key raises
    ValueError. Bounds of ranges may be any bytes: `b""` is before every key.
    """

    __slots__ = ()

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None if there is no such key."""

    def raw(self, key: bytes) -> tuple[bytes, bytes] | None:
        """The key and its value as they are in the store's files, readable or not; None if there
        is no such key."""
        value = self.get(key)
        return None if value is None else (key, value)

    @abstractmethod
    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """The keys from `start` up to but without `stop`, each with its value.

        In a write transaction the iterator follows the changes that are made while it runs: it
        moves from the key it gave last to its neighbour at that moment.

        Args:
            start: The lowest key that may come.
            stop: The first key beyond the range.
            reverse: Descending instead of ascending.
        """

    @abstractmethod
    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        """As `range`, without the values."""


class Writer(Reader):
    """A write transaction; its reads see its own writes."""

    __slots__ = ()

    @abstractmethod
    def put(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value`, whether or not it had one."""

    @abstractmethod
    def delete(self, key: bytes) -> bool:
        """Remove `key`; whether it was there."""

    @abstractmethod
    def delete_range(self, start: bytes, stop: bytes) -> int:
        """Remove the keys from `start` up to but without `stop`; how many there were."""


class KeyValueStore(ABC):
    """An ordered, transactional map from short bytes to bytes, for any number of threads.

    A thread has at most one transaction of a store open at a time, of either kind; a second one
    raises UsageError. Readers block neither writers nor one another.
    """

    __slots__ = ()

    readonly: bool

    @property
    def identity(self) -> Hashable:
        """The same for two objects that are one store to this process."""
        return id(self)

    @abstractmethod
    def read(self) -> AbstractContextManager[Reader]:
        """A snapshot, for the length of a `with` block.

        Keep it short: what a snapshot sees cannot be reused by writers while it lasts. It must not
        be held across a `yield` or an `await`.

        Raises:
            StoreClosedError: The store was closed.
            TooManyReadersError: Too many snapshots are open on the machine.
            StoreBusyError: Another process keeps the table of readers.
            StoreReplacedError: The store's files were removed, moved or replaced.
            StoreIOError: The store's files could not be read.
        """

    @abstractmethod
    def write(self, apply: Callable[[Writer], T]) -> T:
        """Run `apply` in the write transaction, commit, and return what it returned.

        What `apply` raises aborts the whole transaction and is raised again. `apply` may run more
        than once, each time on a transaction without the changes of the time before, so it must
        have no effect but on the writer and its result.

        Raises:
            StoreClosedError: The store was closed.
            ReadOnlyError: The store was opened for reading.
            StoreFullError: There is no room; nothing was stored.
            StoreIOError: Writing failed; nothing was stored.
            StoreBusyError: Another process keeps the write lock; nothing was stored.
            StoreReplacedError: The store's files were removed, moved or replaced; nothing was
                stored.
        """

    def check_no_transaction(self) -> None:  # noqa: B027 - a store without locks has none to check
        """Raise UsageError if this thread could not write now, because it is inside the store."""

    @property
    def folder(self) -> str | None:
        """Where its files are; None if it has none."""
        return None

    def check_pages(self) -> PageCheck:
        """Check the pages that records are on.

        A snapshot is open meanwhile: what is deleted makes no room for what is written.

        Raises:
            StoreIOError: The store's files could not be read.
        """
        return PageCheck(skipped_reason="this kind of store has no pages")

    @abstractmethod
    def size(self) -> int:
        """Bytes that the store occupies on disk, as allocated by the file system."""

    def reserve_map(self) -> None:  # noqa: B027 - some kinds of store need none
        """Prepare for a long read that begins now, so that writers need not wait for its end.

        Raises:
            StoreClosedError: The store was closed.
        """

    def backup(
        self,
        path: str | os.PathLike[str],  # noqa: ARG002
        progress: Progress | None = None,  # noqa: ARG002
    ) -> None:
        """Copy one snapshot of the store to a folder that is not there yet, whole or not at all.

        Args:
            path: The folder.
            progress: Called now and then with the bytes that are written and the bytes in all.

        Raises:
            UsageError: This kind of store has no files.
            InvalidPathError: There is something at the path, or nothing can be.
            StoreFullError: There is no room.
        """
        raise UsageError("this kind of store has no files to back up")

    def compact(self) -> int:
        """Give room that nothing needs back to the file system; about how many bytes it was.

        Raises:
            UsageError: This kind of store has no files, or the file system takes nothing back.
        """
        raise UsageError("this kind of store has no files to compact")

    @abstractmethod
    def close(self) -> None:
        """Let go of the store, waiting for transactions that other threads have open.

        Closing twice does no harm; any other use afterwards raises StoreClosedError.
        """


def check_key(key: bytes) -> None:
    """Raise ValueError unless `key` can be a key."""
    if not 0 < len(key) <= MAX_KEY_SIZE:
        raise ValueError(f"a key is 1 to {MAX_KEY_SIZE} bytes long, this one {len(key)}")
