"""Encryption at rest: a key-value store that encrypts what another one stores.

Values are encrypted with AES-256-GCM and bound to their keys. The names in keys are encrypted with
AES-SIV. Empty values (index entries) are stored empty. Each transaction reads the header first,
so a rotation by another process takes effect between two transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, groupby
from typing import TypeVar

from langgraph.checkpoint.lmdb.encryption.key_names import (
    ENCRYPTED_KINDS,
    NEEDS_MAPPING,
    RangePart,
    kind_of,
    stored_bounds,
    visible_prefix,
)
from langgraph.checkpoint.lmdb.encryption.key_source import HEADER, KeySource
from langgraph.checkpoint.lmdb.encryption.keyring import Keyring, Slot, reject_plaintext
from langgraph.checkpoint.lmdb.errors import NotEncryptedError
from langgraph.checkpoint.lmdb.format.envelope import raise_damaged
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader, WrapperStore, Writer

T = TypeVar("T")


_NOT_ENCRYPTED = "an encryption key was given, but the store is not encrypted"


class _HeaderChangedError(Exception):
    """A write transaction that began with a header whose keys are not loaded yet."""

    def __init__(self, header: bytes | None) -> None:
        super().__init__()
        self.header = header


class EncryptedStore(WrapperStore):
    """A key-value store that encrypts on top of another one. `open` makes it.

    Attributes:
        inner: The other store, with stored (encrypted) keys and values.
        keyring: The keys of the header that was loaded last.
    """

    __slots__ = ("_source", "keyring")

    def __init__(self, inner: KeyValueStore, source: KeySource, keyring: Keyring) -> None:
        super().__init__(inner)
        self.keyring = keyring
        self._source = source

    @classmethod
    def open(cls, inner: KeyValueStore, source: KeySource) -> EncryptedStore:
        """Open an encrypted store. An empty store becomes encrypted, unless it is read-only.

        Raises:
            WrongKeyError: The store is encrypted with another key.
            NotEncryptedError: The store holds records that are not encrypted.
            DamagedError: The header is damaged.
        """
        with inner.read() as reader:
            header, empty = reader.get(HEADER), _is_empty(reader)
        if header is None and empty and not inner.readonly:
            header = _create_header(inner, Keyring.generate().wrapped_for([source.first()]))
            empty = False
        if header is None and not empty:
            raise NotEncryptedError(_NOT_ENCRYPTED)
        keyring = Keyring.generate() if header is None else Keyring.open(header, source)
        return cls(inner, source, keyring)

    def load_keys(self, header: bytes | None) -> None:
        """Replace the keyring by the keys of another header.

        Raises:
            WrongKeyError: None of the user's keys opens the header.
            DamagedError: The header is missing or damaged.
        """
        if header is None:
            raise_damaged(HEADER, "the header is missing")
        self.keyring = Keyring.open(header, self._source)

    def add_key(self, key: bytes) -> None:
        """Add a key of the user that may open later headers."""
        self._source.add(key)

    def key_of(self, slot: Slot) -> bytes:
        """Return the user's key that a slot was made with.

        Raises:
            WrongKeyError: The key is unknown.
        """
        return self._source.find(slot.fits)

    @contextmanager
    def read(self) -> Iterator[EncryptedReader]:
        while True:
            keyring = self.keyring
            with self.inner.read() as inner:
                header = inner.get(HEADER)
                if header == keyring.header:
                    yield EncryptedReader(inner, keyring)
                    return
            self.load_keys(header)  # may be slow: not inside the snapshot

    def view(self, apply: Callable[[Reader], T]) -> T:
        return self._with_keys(
            lambda: self.inner.view(
                lambda inner: apply(EncryptedReader(inner, self._keyring_of(inner)))
            )
        )

    def write(self, apply: Callable[[Writer], T]) -> T:
        return self._with_keys(
            lambda: self.inner.write(
                lambda inner: apply(EncryptedWriter(inner, self._keyring_of(inner)))
            )
        )

    def _keyring_of(self, inner: Reader) -> Keyring:
        keyring, header = self.keyring, inner.get(HEADER)
        if header != keyring.header:
            raise _HeaderChangedError(header)
        return keyring

    def _with_keys(self, run: Callable[[], T]) -> T:
        """Run a transaction, again if the header has changed."""
        while True:
            try:
                return run()
            except _HeaderChangedError as changed:
                header = changed.header
            self.load_keys(header)


def _create_header(inner: KeyValueStore, keyring: Keyring) -> bytes | None:
    """Write the header of an empty store.

    Returns:
        The header of the store, which another process may have written, or None if another
        process has filled the store without encryption.
    """

    def create(writer: Writer) -> bytes | None:
        found = writer.get(HEADER)
        if found is None and _is_empty(writer):
            writer.put(HEADER, keyring.header or b"")
            return keyring.header
        return found

    return inner.write(create)


def _is_empty(reader: Reader) -> bool:
    return reader.first_key(b"", b"\xff") is None


class EncryptedReader(Reader):
    """A snapshot with plain keys and values.

    Attributes:
        keyring: The keys of the snapshot's header.
    """

    __slots__ = ("_inner", "_inserted", "keyring")

    def __init__(self, inner: Reader, keyring: Keyring) -> None:
        self._inner = inner
        self._inserted = 0
        self.keyring = keyring

    def get(self, key: bytes) -> bytes | None:
        value = self._stored(key) if kind_of(key) in NEEDS_MAPPING else self._inner.get(key)
        return self.keyring.decrypt(key, value) if value else value

    def raw(self, key: bytes) -> tuple[bytes, bytes] | None:
        stored_key = self.keyring.names.stored(key)
        found = self._inner.raw(stored_key)
        return self._inner.raw(key) if found is None and stored_key is not key else found

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        decrypt = self.keyring.decrypt
        if kind_of(start) == kind_of(stop) and kind_of(start) not in NEEDS_MAPPING:
            for key, value in self._inner.range(start, stop, reverse=reverse):
                yield key, decrypt(key, value) if value else value
            return
        for part in self._parts(start, stop, reverse):
            if part.prefix is None:
                for key, value in self._sorted(part, reverse, self._stored):
                    yield key, decrypt(key, value) if value else value
                continue
            prefix, cut = part.prefix, len(part.stored_prefix)
            for key, value in self._inner.range(part.low, part.high, reverse=reverse):
                key = prefix + key[cut:] if cut else key
                yield key, decrypt(key, value) if value else value

    def get_many(self, keys: Iterable[bytes]) -> Iterator[bytes | None]:
        decrypt = self.keyring.decrypt
        wanted = [*keys]
        if any(kind_of(key) in NEEDS_MAPPING for key in wanted):
            yield from map(self.get, wanted)
            return
        for key, value in zip(wanted, self._inner.get_many(wanted), strict=True):
            yield decrypt(key, value) if value else value

    def ranges(
        self, bounds: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[Iterator[tuple[bytes, bytes]]]:
        decrypt = self.keyring.decrypt
        wanted = [*bounds]
        if any(kind_of(key) in NEEDS_MAPPING for pair in wanted for key in pair):
            yield from (self.range(start, stop) for start, stop in wanted)
            return
        for rows in self._inner.ranges(wanted):
            yield ((key, decrypt(key, value) if value else value) for key, value in rows)

    @property
    def many_writers(self) -> bool:  # type: ignore[override]
        return self._inner.many_writers

    def gather(self, calls: Iterable[Callable[[], T]]) -> Iterator[T]:
        return self._inner.gather(calls)

    def now(self) -> int | None:
        return self._inner.now()

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        if kind_of(start) == kind_of(stop) and kind_of(start) not in NEEDS_MAPPING:
            return self._inner.keys(start, stop, reverse=reverse)
        return self._plain_keys(start, stop, reverse)

    def _plain_keys(self, start: bytes, stop: bytes, reverse: bool) -> Iterator[bytes]:
        for part in self._parts(start, stop, reverse):
            if part.prefix is None:
                for key, _ in self._sorted(part, reverse, self._stored_unchecked):
                    yield key
                continue
            prefix, cut = part.prefix, len(part.stored_prefix)
            for key in self._inner.keys(part.low, part.high, reverse=reverse):
                yield prefix + key[cut:] if cut else key

    def _parts(self, start: bytes, stop: bytes, reverse: bool) -> list[RangePart]:
        parts = list(self.keyring.names.split_range(start, stop))
        return parts[::-1] if reverse else parts

    def _sorted(
        self, part: RangePart, reverse: bool, read: Callable[[bytes], bytes | None]
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the plain keys of a part in order, with the value that `read` returns for each.

        The caller may change the store between two keys. After an insertion the rest is sorted
        again.
        """
        start, stop = part.start, part.stop
        names = self.keyring.names
        while True:
            inserted = self._inserted
            stored_keys = self._inner.keys(*stored_bounds(start, stop), reverse=reverse)
            groups = (
                sorted(map(names.plain, group), reverse=reverse)
                for _, group in groupby(stored_keys, visible_prefix)
            )
            for key in chain.from_iterable(groups):
                if not start <= key < stop:
                    continue
                value = read(key)
                if value is None:  # the caller deleted the key
                    continue
                yield key, value
                start, stop = (start, key) if reverse else (key + b"\x00", stop)
                if self._inserted != inserted:
                    break
            else:
                return

    def _stored(self, key: bytes) -> bytes | None:
        """Return the stored value of a plain key.

        Raises:
            PlaintextRecordError: The record is stored without encryption.
            DamagedError: The key is stored without encryption, or was changed.
        """
        stored_key = self.keyring.names.stored(key)
        value = self._inner.get(stored_key)
        if value is None and stored_key is not key:
            value = self._inner.get(key)
            if value is not None:
                reject_plaintext(key, value)
                raise_damaged(key, "the key does not decrypt")
        return value

    def _stored_unchecked(self, key: bytes) -> bytes | None:
        """Return the stored value of a plain key, or the value of a key without encryption."""
        stored_key = self.keyring.names.stored(key)
        value = self._inner.get(stored_key)
        return self._inner.get(key) if value is None and stored_key is not key else value


class EncryptedWriter(EncryptedReader, Writer):
    """A write transaction with plain keys and values.

    Attributes:
        inner: The transaction with stored keys and values.
    """

    __slots__ = ("inner",)

    def __init__(self, inner: Writer, keyring: Keyring) -> None:
        super().__init__(inner, keyring)
        self.inner = inner

    def put(self, key: bytes, value: bytes) -> None:
        stored_key = self.keyring.names.stored(key)
        if kind_of(key) in ENCRYPTED_KINDS and self.inner.get(stored_key) is None:
            self._inserted += 1
        self.inner.put(stored_key, self.keyring.encrypt(key, value) if value else value)

    def delete(self, key: bytes) -> bool:
        stored_key = self.keyring.names.stored(key)
        deleted = self.inner.delete(stored_key)
        # A key without encryption cannot be read, but it can be deleted.
        return deleted or (stored_key is not key and self.inner.delete(key))

    def discard(self, key: bytes) -> None:
        stored_key = self.keyring.names.stored(key)
        self.inner.discard(stored_key)
        if stored_key is not key:
            self.inner.discard(key)

    def delete_range(self, start: bytes, stop: bytes) -> int:
        count = 0
        for part in self._parts(start, stop, reverse=False):
            if part.prefix is not None or (start <= part.low and part.high <= stop):
                count += self.inner.delete_range(part.low, part.high)
            else:
                for stored_key in list(self.inner.keys(part.low, part.high)):
                    if start <= self.keyring.names.plain(stored_key) < stop:
                        count += self.inner.delete(stored_key)
        return count

    def new_number(self) -> int:
        return self.inner.new_number()
