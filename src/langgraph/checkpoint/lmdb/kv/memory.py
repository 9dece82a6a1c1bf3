"""A store in memory, for model checking and fault injection: a dict and its keys in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from threading import get_ident
from typing import TYPE_CHECKING, TypeVar

from langgraph.checkpoint.lmdb.errors import StoreClosedError, UsageError
from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader, Writer, check_key
from langgraph.checkpoint.lmdb.kv.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from typing_extensions import Self

T = TypeVar("T")


class MemoryReader(Reader):
    """A snapshot: the lists it holds are never changed by anyone else."""

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
        # The list may change between two steps (a writer's does), so every step seeks anew.
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
    """A copy of the store that takes its place if all goes well."""

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
        gone = self._keys[first:last]
        del self._keys[first:last]
        for key in gone:
            del self._values[key]
        return len(gone)

    def commit(self) -> None:
        """Make what was written the store's state; both names change in one step."""
        self._store._state = (self._keys, self._values)


class MemoryStore(KeyValueStore):
    """An empty store that is gone with the process."""

    __slots__ = ("__weakref__", "_closed", "_inside", "_state", "_writing", "readonly")

    def __init__(self) -> None:
        self.readonly = False
        self._closed = False
        self._state: tuple[list[bytes], dict[bytes, bytes]] = ([], {})
        self.renew()
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Start in a forked child, where threads that were inside are not."""
        self._inside: set[int] = set()
        self._writing = Lock()

    def read(self) -> MemoryReader:
        return MemoryReader(self)

    def write(self, apply: Callable[[Writer], T]) -> T:
        self.check_no_transaction()
        with self._writing, MemoryWriter(self) as writer:
            result = apply(writer)
            writer.commit()
            return result

    def check_no_transaction(self) -> None:
        if get_ident() in self._inside:
            raise UsageError("this thread already has a transaction of the store open")
        self._writing.check_free()

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
