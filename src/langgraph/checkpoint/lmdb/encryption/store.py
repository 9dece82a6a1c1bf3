"""Encryption at rest: a key-value store that encrypts what it puts into another one.

Values are encrypted with AES-256-GCM and bound to their keys, what keys tell of names with AES-SIV.
Empty values, those of indexes, stay empty. The keys for it are read from the store's header in each
transaction, so that a rotation by anyone else takes effect at once, and never in between.
"""

from __future__ import annotations

import sys
from itertools import chain, groupby
from typing import TYPE_CHECKING, TypeVar

from langgraph.checkpoint.lmdb.encryption.key_names import (
    ENCRYPTED_KINDS,
    NEEDS_MAPPING,
    stored_bounds,
    visible_head,
)
from langgraph.checkpoint.lmdb.encryption.keyring import Keyring, refuse
from langgraph.checkpoint.lmdb.encryption.opening import HEADER
from langgraph.checkpoint.lmdb.errors import NotEncryptedError
from langgraph.checkpoint.lmdb.format.envelope import raise_damaged
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader, Writer

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from typing_extensions import Self

    from langgraph.checkpoint.lmdb.encryption.key_names import RangePart
    from langgraph.checkpoint.lmdb.encryption.keyring import Slot
    from langgraph.checkpoint.lmdb.encryption.opening import KeySource
    from langgraph.checkpoint.lmdb.kv.base import Progress
    from langgraph.checkpoint.lmdb.kv.page_report import PageCheck

T = TypeVar("T")


class HeaderChangedError(Exception):
    """The transaction began with a header whose keys are not known yet."""

    def __init__(self, header: bytes | None) -> None:
        super().__init__()
        self.header = header


class EncryptedReader(Reader):
    """A snapshot of the plain keys and values.

    Attributes:
        keyring: The keys that hold for it.
    """

    __slots__ = ("_context", "_inner", "_inserted", "_store", "keyring")

    _inner: Reader
    keyring: Keyring

    def __init__(self, store: EncryptedStore) -> None:
        self._store = store
        self._inserted = 0

    def __enter__(self) -> Self:
        while True:
            context = self._store.inner.read()
            inner = context.__enter__()
            try:
                self._begin(inner)
            except HeaderChangedError as changed:
                context.__exit__(*sys.exc_info())
                self._store.open_encrypted(changed.header)  # may take long: not in the transaction
            except BaseException:
                context.__exit__(*sys.exc_info())
                raise
            else:
                self._context: AbstractContextManager[Reader] = context
                return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.__exit__(kind, error, trace)

    def _begin(self, inner: Reader) -> None:
        self._inner = inner
        self.keyring = self._store.keyring
        header = inner.get(HEADER)
        if header != self.keyring.header:
            raise HeaderChangedError(header)

    def get(self, key: bytes) -> bytes | None:
        value = self._stored(key) if key[:1] in NEEDS_MAPPING else self._inner.get(key)
        return self.keyring.decrypt(key, value) if value else value

    def raw(self, key: bytes) -> tuple[bytes, bytes] | None:
        name = self.keyring.names.stored(key)
        found = self._inner.raw(name)
        return self._inner.raw(key) if found is None and name is not key else found

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        decrypt = self.keyring.decrypt
        if start[:1] == stop[:1] and start[:1] not in NEEDS_MAPPING:
            for key, value in self._inner.range(start, stop, reverse=reverse):
                yield key, decrypt(key, value) if value else value
            return
        for piece in self._pieces(start, stop, reverse):
            if piece.head is None:
                for key, value in self._sorted(piece, reverse, self._stored):
                    yield key, decrypt(key, value) if value else value
                continue
            head, cut = piece.head, len(piece.stored_head)
            for key, value in self._inner.range(piece.low, piece.high, reverse=reverse):
                key = head + key[cut:] if cut else key
                yield key, decrypt(key, value) if value else value

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        if start[:1] == stop[:1] and start[:1] not in NEEDS_MAPPING:
            return self._inner.keys(start, stop, reverse=reverse)
        return self._plain_keys(start, stop, reverse)

    def _plain_keys(self, start: bytes, stop: bytes, reverse: bool) -> Iterator[bytes]:
        for piece in self._pieces(start, stop, reverse):
            if piece.head is None:
                for key, _ in self._sorted(piece, reverse, self._found):
                    yield key
                continue
            head, cut = piece.head, len(piece.stored_head)
            for key in self._inner.keys(piece.low, piece.high, reverse=reverse):
                yield head + key[cut:] if cut else key

    def _pieces(self, start: bytes, stop: bytes, reverse: bool) -> list[RangePart]:
        pieces = list(self.keyring.names.pieces(start, stop))
        return pieces[::-1] if reverse else pieces

    def _found(self, key: bytes) -> bytes | None:
        """What the inner store has for a plain key, or under a key that nobody encrypted."""
        name = self.keyring.names.stored(key)
        value = self._inner.get(name)
        return self._inner.get(key) if value is None and name is not key else value

    def _stored(self, key: bytes) -> bytes | None:
        """What the inner store has for a plain key.

        Raises:
            PlaintextRecordError: Nobody encrypted it.
            DamagedError: The key is not encrypted, or was changed.
        """
        name = self.keyring.names.stored(key)
        value = self._inner.get(name)
        if value is None and name is not key:
            value = self._inner.get(key)
            if value is not None:
                refuse(key, value)
                raise_damaged(key, "its key does not decrypt")
        return value

    def _sorted(
        self, piece: RangePart, reverse: bool, read: Callable[[bytes], bytes | None]
    ) -> Iterator[tuple[bytes, bytes]]:
        """The plain keys of a piece in order, each with what `read` gives when it is reached."""
        start, stop = piece.start, piece.stop
        names = self.keyring.names
        while True:
            inserted = self._inserted
            stored = self._inner.keys(*stored_bounds(start, stop), reverse=reverse)
            groups = (
                sorted(map(names.plain, group), reverse=reverse)
                for _, group in groupby(stored, visible_head)
            )
            for key in chain.from_iterable(groups):
                if not start <= key < stop:
                    continue
                value = read(key)
                if value is None:  # deleted meanwhile
                    continue
                yield key, value
                start, stop = (start, key) if reverse else (key + b"\x00", stop)
                if self._inserted != inserted:
                    break
            else:
                return


class EncryptedWriter(EncryptedReader, Writer):
    """A write transaction in plain keys and values.

    Attributes:
        inner: The same in stored keys and values.
    """

    __slots__ = ("inner",)

    def __init__(self, store: EncryptedStore, inner: Writer) -> None:
        super().__init__(store)
        self._begin(inner)
        self.inner = inner

    def put(self, key: bytes, value: bytes) -> None:
        name = self.keyring.names.stored(key)
        if key[:1] in ENCRYPTED_KINDS and self.inner.get(name) is None:
            self._inserted += 1
        self.inner.put(name, self.keyring.encrypt(key, value) if value else value)

    def delete(self, key: bytes) -> bool:
        name = self.keyring.names.stored(key)
        gone = self.inner.delete(name)
        # A key that nobody encrypted: it cannot be read, but one can be rid of it.
        return gone or (name is not key and self.inner.delete(key))

    def delete_range(self, start: bytes, stop: bytes) -> int:
        count = 0
        for piece in self._pieces(start, stop, reverse=False):
            if piece.head is not None or (start <= piece.low and piece.high <= stop):
                count += self.inner.delete_range(piece.low, piece.high)
            else:
                names = list(self.inner.keys(piece.low, piece.high))
                for name in names:
                    if start <= self.keyring.names.plain(name) < stop:
                        count += self.inner.delete(name)
        return count


class EncryptedStore(KeyValueStore):
    """A key-value store, encrypted, on another one; made by `open`.

    Attributes:
        inner: The other one.
        keyring: The keys that were read from its header last.
    """

    __slots__ = ("_source", "inner", "keyring", "readonly")

    def __init__(self, inner: KeyValueStore, source: KeySource, keyring: Keyring) -> None:
        self.readonly = inner.readonly
        self.inner = inner
        self.keyring = keyring
        self._source = source

    @classmethod
    def open(cls, inner: KeyValueStore, source: KeySource) -> EncryptedStore:
        """The plain view of an encrypted store. An empty one becomes encrypted.

        Raises:
            WrongKeyError: The key is not that of the store.
            NotEncryptedError: There are records in it, and they are not encrypted.
            DamagedError: The header is damaged.
        """
        header, empty = _look(inner)
        if header is None and not empty:
            raise NotEncryptedError("the store is not encrypted, and there is a key for it")
        if header is None and not inner.readonly:
            new = Keyring.fresh().sealed([source.first()])

            def create(writer: Writer) -> bytes | None:
                found = writer.get(HEADER)
                if found is None and _is_empty(writer):
                    writer.put(HEADER, new.header or b"")
                    return new.header
                return found

            header = inner.write(create)
            if header is None:
                raise NotEncryptedError("the store is not encrypted, and there is a key for it")
        keyring = Keyring.fresh() if header is None else Keyring.open(header, source)
        return cls(inner, source, keyring)

    def open_encrypted(self, header: bytes | None) -> None:
        """Read the keys of another header from now on.

        Raises:
            WrongKeyError: The user's key does not open it.
        """
        if header is None:
            raise_damaged(HEADER, "it is gone")
        self.keyring = Keyring.open(header, self._source)

    def prefer(self, key: bytes) -> None:
        """Also find this key of the user's from now on."""
        self._source.prefer(key)

    def key_of(self, slot: Slot) -> bytes:
        """The user's key that a slot was made with.

        Raises:
            WrongKeyError: It is not known.
        """
        return self._source.find(slot.fits)

    @property
    def identity(self) -> Hashable:
        return self.inner.identity

    def read(self) -> EncryptedReader:
        return EncryptedReader(self)

    def write(self, apply: Callable[[Writer], T]) -> T:
        while True:
            try:
                return self.inner.write(lambda writer: apply(EncryptedWriter(self, writer)))
            except HeaderChangedError as changed:
                header = changed.header
            self.open_encrypted(header)

    def check_no_transaction(self) -> None:
        self.inner.check_no_transaction()

    @property
    def folder(self) -> str | None:
        return self.inner.folder

    def check_pages(self) -> PageCheck:
        return self.inner.check_pages()

    def size(self) -> int:
        return self.inner.size()

    def reserve_map(self) -> None:
        self.inner.reserve_map()

    def backup(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        self.inner.backup(path, progress)

    def compact(self) -> int:
        return self.inner.compact()

    def close(self) -> None:
        self.inner.close()


def _look(inner: KeyValueStore) -> tuple[bytes | None, bool]:
    with inner.read() as reader:
        return reader.get(HEADER), _is_empty(reader)


def _is_empty(reader: Reader) -> bool:
    return next(iter(reader.keys(b"", b"\xff")), None) is None
