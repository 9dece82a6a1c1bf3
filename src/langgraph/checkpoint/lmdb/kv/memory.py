"""A store in memory, for `:memory:` savers, model checking and fault injection."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from threading import Lock, get_ident
from typing import TYPE_CHECKING, TypeVar

from langgraph.checkpoint.lmdb.errors import StoreClosedError, UsageError
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader, Writer, check_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from typing_extensions import Self

T = TypeVar("T")


class MemoryReader(Reader):
    """A snapshot. Its containers never change after it was taken."""

    __slots__ = ("_keys", "_open", "_store", "_values")

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._open = False
        self._keys: list[bytes] = []
        self._values: dict[bytes, bytes] = {}

    def __enter__(self) -> Self:
        self._store._enter()
        self._keys, self._values = self._store._state
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        self._store._leave()

    def get(self, key: bytes) -> bytes | None:
        self._check_open()
        value = self._values.get(key)
        if value is None:
            check_key(key)
        return value

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        for key in self.keys(start, stop, reverse=reverse):
            yield key, self._values[key]

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        # A writer's list may change between two steps, so every step seeks again.
        self._check_open()
        at = bisect_left(self._keys, stop) - 1 if reverse else bisect_left(self._keys, start)
        while 0 <= at < len(self._keys) and start <= (key := self._keys[at]) < stop:
            yield key
            self._check_open()
            at = bisect_left(self._keys, key) - 1 if reverse else bisect_right(self._keys, key)

    def _check_open(self) -> None:
        if not self._open:
            raise UsageError("the transaction is over")


class MemoryWriter(MemoryReader, Writer):
    """A copy of the store, which replaces the store at the commit."""

    __slots__ = ()

    def __enter__(self) -> Self:
        super().__enter__()
        self._keys, self._values = self._keys.copy(), self._values.copy()
        return self

    def put(self, key: bytes, value: bytes) -> None:
        self._check_open()
        if key not in self._values:
            check_key(key)
            self._keys.insert(bisect_left(self._keys, key), key)
        self._values[key] = bytes(value)

    def delete(self, key: bytes) -> bool:
        self._check_open()
        if self._values.pop(key, None) is None:
            check_key(key)
            return False
        del self._keys[bisect_left(self._keys, key)]
        return True

    def delete_range(self, start: bytes, stop: bytes) -> int:
        self._check_open()
        first, last = bisect_left(self._keys, start), bisect_left(self._keys, stop)
        found = self._keys[first:last]
        del self._keys[first:last]
        for key in found:
            del self._values[key]
        return len(found)

    def commit(self) -> None:
        """Replace the state of the store by the copy; both names change in one step."""
        self._store._state = (self._keys, self._values)


class MemoryStore(KeyValueStore):
    """An empty store, which lasts as long as the object."""

    __slots__ = ("_closed", "_inside", "_state", "_writing", "readonly")

    def __init__(self) -> None:
        self.readonly = False
        self._closed = False
        self._inside: set[int] = set()
        self._state: tuple[list[bytes], dict[bytes, bytes]] = ([], {})
        self._writing = Lock()

    def read(self) -> MemoryReader:
        return MemoryReader(self)

    def write(self, apply: Callable[[Writer], T]) -> T:
        if get_ident() in self._inside:
            raise UsageError("this thread already has a transaction of the store open")
        with self._writing, MemoryWriter(self) as writer:
            result = apply(writer)
            writer.commit()
            return result

    def size(self) -> int:
        if self._closed:
            raise StoreClosedError("the store is closed")
        return 0

    def close(self) -> None:
        self._closed = True

    def _enter(self) -> None:
        me = get_ident()
        if me in self._inside:
            raise UsageError("this thread already has a transaction of the store open")
        if self._closed:
            raise StoreClosedError("the store is closed")
        self._inside.add(me)

    def _leave(self) -> None:
        self._inside.discard(get_ident())
