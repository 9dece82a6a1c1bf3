"""A store in memory that counts operations and can fail, and `ttl` arguments for tests."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.contract.driver import SaverDriver, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typing_extensions import Self

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
    from tests.retention.conftest import Clock

T = TypeVar("T")

TTL_5: Any = {"default_ttl": 5}
ALL_LIMITS: Any = {
    "default_ttl": 5, "strategy": "keep_latest", "keep_last": 3, "max_history_age": 2,
}  # fmt: skip


class KillError(BaseException):
    """An error that simulates the end of the process. The package never catches it."""


class Counts:
    """The numbers of operations on a store."""

    def __init__(self) -> None:
        self.reads = 0
        """Number of records and keys read."""
        self.changes = 0
        self.transactions = 0
        """Number of write transactions."""


class CountingStore(MemoryStore):
    """A store that counts reads, changes and write transactions."""

    __slots__ = ("counts", "stop_after")

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()
        self.stop_after: int | None = None
        """Number of changes after which a write raises KillError. None: it never does."""

    @contextmanager
    def counting(self) -> Iterator[Counts]:
        """Count the operations within a block."""
        self.counts = Counts()
        yield self.counts
        self.counts = Counts()

    def read(self) -> Any:
        return _Counted(super().read(), self)

    def write(self, apply: Callable[[Writer], T]) -> T:
        def counted(writer: Writer) -> T:
            result = apply(_CountedWriter(writer, self))
            self.change()  # counts the commit
            return result

        self.counts.transactions += 1
        return super().write(counted)

    def change(self) -> None:
        """Count a change; raise KillError at the limit."""
        self.counts.changes += 1
        if self.stop_after is not None:
            self.stop_after -= 1
            if self.stop_after < 0:
                raise KillError


class _Counted(Reader):
    """A reader that counts."""

    def __init__(self, inner: Any, store: CountingStore) -> None:
        self._inner = inner
        self._store = store

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *args: object) -> None:
        self._inner.__exit__(*args)

    def get(self, key: bytes) -> bytes | None:
        self._store.counts.reads += 1
        found: bytes | None = self._inner.get(key)
        return found

    def range(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[Any]:
        for item in self._inner.range(start, stop, reverse=reverse):
            self._store.counts.reads += 1
            yield item

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        for key in self._inner.keys(start, stop, reverse=reverse):
            self._store.counts.reads += 1
            yield key


class _CountedWriter(_Counted, Writer):
    """A writer that counts changes."""

    def put(self, key: bytes, value: bytes) -> None:
        self._store.change()
        self._inner.put(key, value)

    def delete(self, key: bytes) -> bool:
        self._store.change()
        found: bool = self._inner.delete(key)
        return found

    def delete_range(self, start: bytes, stop: bytes) -> int:
        self._store.change()
        count: int = self._inner.delete_range(start, stop)
        return count


def contents(kv: KeyValueStore) -> dict[bytes, bytes]:
    """Return all keys and values of a store."""
    with kv.read() as reader:
        return dict(reader.range(b"", b"\xff" * 512))


def store_expired_thread(path: Path, clock: Clock) -> None:
    """Store a thread and advance the clock until it has expired."""
    with LmdbSaver(path, sync="off", clock=clock) as saver:
        put(SaverDriver(saver), "1")
    clock.wait(5)
