"""A key-value store inside another one: each of its keys has a prefix there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader, WrapperStore, Writer, check_key

T = TypeVar("T")


class PrefixedStore(WrapperStore):
    """The part of another store whose keys begin with a prefix, as a store without the prefix.

    Its transactions are transactions of the other store, and its files are that store's files.

    Args:
        inner: The other store.
        prefix: The prefix. Keys may be shorter than in the other store by its length.
    """

    __slots__ = ("prefix",)

    def __init__(self, inner: KeyValueStore, prefix: bytes) -> None:
        super().__init__(inner)
        self.prefix = prefix

    @property
    def identity(self) -> Hashable:
        return self.inner.identity, self.prefix

    @contextmanager
    def read(self) -> Iterator[PrefixedReader]:
        with self.inner.read() as reader:
            yield PrefixedReader(reader, self.prefix)

    def view(self, apply: Callable[[Reader], T]) -> T:
        return self.inner.view(lambda reader: apply(PrefixedReader(reader, self.prefix)))

    def write(self, apply: Callable[[Writer], T]) -> T:
        return self.inner.write(lambda writer: apply(PrefixedWriter(writer, self.prefix)))


class PrefixedReader(Reader):
    """A snapshot of the keys with a prefix."""

    __slots__ = ("_inner", "_prefix")

    def __init__(self, inner: Reader, prefix: bytes) -> None:
        self._inner = inner
        self._prefix = prefix

    def get(self, key: bytes) -> bytes | None:
        check_key(key)
        return self._inner.get(self._prefix + key)

    def raw(self, key: bytes) -> tuple[bytes, bytes] | None:
        check_key(key)
        return self._inner.raw(self._prefix + key)

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        prefix, cut = self._prefix, len(self._prefix)
        for key, value in self._inner.range(prefix + start, prefix + stop, reverse=reverse):
            yield key[cut:], value

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        prefix, cut = self._prefix, len(self._prefix)
        for key in self._inner.keys(prefix + start, prefix + stop, reverse=reverse):
            yield key[cut:]

    def get_many(self, keys: Iterable[bytes]) -> Iterator[bytes | None]:
        wanted = [*keys]
        for key in wanted:
            check_key(key)
        return self._inner.get_many([self._prefix + key for key in wanted])

    def ranges(
        self, bounds: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[Iterator[tuple[bytes, bytes]]]:
        prefix, cut = self._prefix, len(self._prefix)
        for rows in self._inner.ranges([(prefix + start, prefix + stop) for start, stop in bounds]):
            yield ((key[cut:], value) for key, value in rows)

    @property
    def many_writers(self) -> bool:  # type: ignore[override]
        return self._inner.many_writers

    def gather(self, calls: Iterable[Callable[[], T]]) -> Iterator[T]:
        return self._inner.gather(calls)

    def now(self) -> int | None:
        return self._inner.now()


class PrefixedWriter(PrefixedReader, Writer):
    """A write transaction on the keys with a prefix."""

    __slots__ = ("_writer",)

    def __init__(self, writer: Writer, prefix: bytes) -> None:
        super().__init__(writer, prefix)
        self._writer = writer

    def put(self, key: bytes, value: bytes) -> None:
        check_key(key)
        self._writer.put(self._prefix + key, value)

    def delete(self, key: bytes) -> bool:
        check_key(key)
        return self._writer.delete(self._prefix + key)

    def discard(self, key: bytes) -> None:
        check_key(key)
        self._writer.discard(self._prefix + key)

    def delete_range(self, start: bytes, stop: bytes) -> int:
        return self._writer.delete_range(self._prefix + start, self._prefix + stop)

    def new_number(self) -> int:
        return self._writer.new_number()
