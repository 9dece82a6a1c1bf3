"""A store in memory, for `:memory:` savers, model checking and fault injection."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import closing
from threading import RLock, get_ident
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from langgraph.checkpoint.lmdb.errors import StoreClosedError, UsageError
from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader, Writer, check_key
from langgraph.checkpoint.lmdb.kv.buffering import BufferingWriter
from langgraph.checkpoint.lmdb.kv.locks import Lock

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
State: TypeAlias = "tuple[list[bytes], dict[bytes, bytes]]"
"""The keys in order, and the values."""
Changes: TypeAlias = "dict[bytes, bytes | None]"
"""New values; None: the key is removed."""


class MemoryReader(Reader):
    """A snapshot. Its state does not change while it is open."""

    __slots__ = ("_keys", "_open", "_store", "_values")

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._open = False
        self._keys: list[bytes] = []
        self._values: dict[bytes, bytes] = {}

    def __enter__(self) -> Self:
        self._keys, self._values = self._store._enter()
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        self._store._leave(self._keys)

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
        self._check_open()
        first, last = bisect_left(self._keys, start), bisect_left(self._keys, stop)
        for at in range(last - 1, first - 1, -1) if reverse else range(first, last):
            yield self._keys[at]
            self._check_open()

    def _check_open(self) -> None:
        if not self._open:
            raise UsageError("the transaction is closed")


class MemoryStore(KeyValueStore):
    """A store in memory, which is lost with the object. A forked child has its own copy.

    Attributes:
        _readers: Number of open transactions on the state, which is then not changed in place.
        _unfinished: Changes that are being applied to the state. After an interrupt, the next
            transaction applies them again.
        _owners: Threads that have a transaction open.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_mutex",
        "_owners",
        "_readers",
        "_state",
        "_unfinished",
        "_writing",
        "readonly",
    )

    def __init__(self) -> None:
        self.readonly = False
        self._closed = False
        self._state: State = ([], {})
        self._readers = 0
        self._unfinished: Changes = {}
        self._owners: set[int] = set()
        self._writing = Lock()
        self._mutex = RLock()  # a signal handler may run in the thread that holds it
        forking.renew_in_child(self)

    @property
    def flushes(self) -> bool:
        return False

    def read(self) -> MemoryReader:
        return MemoryReader(self)

    def write(self, apply: Callable[[Writer], T]) -> T:
        self.check_no_transaction()
        with (
            self._writing,
            MemoryReader(self) as snapshot,
            closing(BufferingWriter(snapshot)) as writer,
        ):
            result = apply(writer)
            self._commit(writer.changes)
            return result

    def check_no_transaction(self) -> None:
        self._check_no_owner()
        self._writing.check_free()

    def _check_no_owner(self) -> None:
        if get_ident() in self._owners:
            raise UsageError("this thread already has a transaction of the store open")

    def size(self) -> int:
        if self._closed:
            raise StoreClosedError("the store is closed")
        return 0

    def close(self) -> None:
        self._closed = True
        self._state = ([], {})

    def _enter(self) -> State:
        self._check_no_owner()
        with self._mutex:
            if self._closed:
                raise StoreClosedError("the store is closed")
            self._finish()
            self._readers += 1
            self._owners.add(get_ident())
            return self._state

    def _leave(self, keys: list[bytes]) -> None:
        with self._mutex:
            self._owners.discard(get_ident())
            if keys is self._state[0]:
                self._readers -= 1

    def _commit(self, changes: Changes) -> None:
        with self._mutex:
            if self._closed:
                raise StoreClosedError("the store is closed")
            if self._readers > 1:  # others than the writer
                keys, values = self._state[0].copy(), self._state[1].copy()
                _change(keys, values, changes)
                self._state, self._readers = (keys, values), 0
            else:
                self._unfinished = changes
                self._finish()

    def _finish(self) -> None:
        if self._unfinished:
            _change(*self._state, self._unfinished)
            self._unfinished = {}

    def renew(self) -> None:
        """Forget the transactions of other threads, which a forked child lacks."""
        self._mutex = RLock()
        self._owners &= {get_ident()}
        self._readers = len(self._owners)
        if not self._owners:
            self._writing = Lock()


def _change(keys: list[bytes], values: dict[bytes, bytes], changes: Changes) -> None:
    for key, value in changes.items():
        at = bisect_left(keys, key)
        found = at < len(keys) and keys[at] == key
        if value is None:
            values.pop(key, None)
            if found:
                del keys[at]
        else:
            values[key] = value
            if not found:
                keys.insert(at, key)
