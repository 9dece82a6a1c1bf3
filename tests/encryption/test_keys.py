"""Keys of encrypted stores: valid, wrong, missing and invalid ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.encryption.key_source import ENV_VARIABLE, KeySource
from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore
from langgraph.checkpoint.lmdb.errors import (
    InvalidPathError,
    LmdbSaverError,
    MissingKeyError,
    NotEncryptedError,
    UsageError,
    WrongKeyError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore, MemoryStore
from tests.encryption.stores import KEY, OTHER, everything
from tests.saver.values import checkpoint, config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langgraph.checkpoint.lmdb.kv import KeyValueStore
    from langgraph.checkpoint.lmdb.kv.base import Writer

T = TypeVar("T")


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_VARIABLE, raising=False)


def filled(key: Any) -> MemoryStore:
    """Return a store with one value."""
    inner = MemoryStore()
    open_encrypted(inner, key).write(lambda writer: writer.put(b"c", b"value"))
    return inner


def opens(inner: KeyValueStore, key: Any) -> bool:
    """Return True if the key opens the store that `filled` made."""
    return everything(open_encrypted(inner, key)) == {b"c": b"value"}


def test_only_the_key_of_a_store_opens_it() -> None:
    inner = filled(KEY)
    assert opens(inner, KEY)
    with pytest.raises(WrongKeyError, match="is not the key of the store"):
        open_encrypted(inner, OTHER)
    with pytest.raises(MissingKeyError, match=ENV_VARIABLE):
        open_encrypted(inner, None)


def test_new_store_without_key_is_plain_even_if_the_variable_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ENV_VARIABLE, KEY.decode())
    inner = MemoryStore()
    assert open_encrypted(inner, None) is inner


def test_key_for_a_plain_store_is_refused() -> None:
    inner = filled(None)
    with pytest.raises(NotEncryptedError, match="copy_store"):
        open_encrypted(inner, KEY)
    assert opens(inner, None)


def test_store_that_another_writer_fills_first_is_not_encrypted() -> None:
    class Overtaken(MemoryStore):
        def write(self, apply: Any) -> Any:
            super().write(lambda writer: writer.put(b"c", b"value"))
            return super().write(apply)

    inner = Overtaken()
    with pytest.raises(NotEncryptedError):
        open_encrypted(inner, KEY)
    assert everything(inner) == {b"c": b"value"}


def test_two_concurrent_creators_share_one_store() -> None:
    class Overtaken(MemoryStore):
        first = True

        def write(self, apply: Any) -> Any:
            if self.first:
                self.first = False
                open_encrypted(self, KEY).write(lambda writer: writer.put(b"c", b"value"))
            return super().write(apply)

    inner = Overtaken()
    assert opens(inner, KEY)


def test_key_in_the_variable_creates_and_opens_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingKeyError, match=ENV_VARIABLE):
        open_encrypted(MemoryStore(), "env")
    monkeypatch.setenv(ENV_VARIABLE, KEY.decode())
    inner = filled("env")
    assert isinstance(open_encrypted(inner, "env"), EncryptedStore)
    assert opens(inner, "env")
    assert opens(inner, KEY)
    assert opens(inner, None)
    monkeypatch.setenv(ENV_VARIABLE, OTHER.decode())
    with pytest.raises(WrongKeyError, match=ENV_VARIABLE):
        open_encrypted(inner, None)
    monkeypatch.setenv(ENV_VARIABLE, "k" * 16)
    with pytest.raises(UsageError, match="LANGGRAPH_AES_KEY must be 32 bytes, got 16 bytes"):
        open_encrypted(inner, None)


@pytest.mark.parametrize(
    "key", [b"", b"k" * 16, b"k" * 24, b"k" * 33, "k" * 32, 32, [], [KEY, b"short"], [None], {}]
)
@pytest.mark.parametrize("called", [False, True])
def test_invalid_key_is_refused_and_creates_nothing(key: Any, called: bool) -> None:
    inner = MemoryStore()
    with pytest.raises(UsageError, match="32"):
        open_encrypted(inner, (lambda: key) if called else key)
    assert everything(inner) == {}


def test_any_of_several_keys_opens_and_the_first_creates() -> None:
    assert opens(filled(OTHER), [KEY, OTHER])
    inner = filled([KEY, OTHER])
    assert opens(inner, KEY)
    with pytest.raises(WrongKeyError):
        open_encrypted(inner, OTHER)


def test_key_function_is_called_only_when_needed_and_outside_transactions() -> None:
    asked = []

    def ask() -> bytes:
        with inner.read():  # raises inside a transaction
            asked.append(1)
        return KEY

    inner = filled(KEY)
    store = open_encrypted(inner, ask)
    assert asked == [1]
    for _ in range(3):
        assert everything(store) == {b"c": b"value"}
    assert asked == [1]
    inner = MemoryStore()
    open_encrypted(inner, ask)
    assert asked == [1, 1]


def test_added_key_is_found_beside_the_key_function() -> None:
    source = KeySource(lambda: KEY)
    source.add(OTHER)
    for key in (KEY, OTHER, KEY):
        assert source.find(key.__eq__) == key


def test_error_of_the_key_function_is_raised() -> None:
    def ask() -> bytes:
        raise PermissionError("the key is locked away")

    with pytest.raises(PermissionError, match="locked away"):
        open_encrypted(filled(KEY), ask)


def test_key_errors_have_distinct_kinds() -> None:
    kinds = {error.kind for error in (MissingKeyError, NotEncryptedError, WrongKeyError)}
    assert len(kinds) == 3
    assert all(issubclass(error, LmdbSaverError) for error in (MissingKeyError, WrongKeyError))


def test_error_without_cryptography_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = filled(KEY)
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    package = "langgraph.checkpoint.lmdb.encryption"
    for name in ("store", "keyring", "key_names"):
        monkeypatch.delitem(sys.modules, f"{package}.{name}")
        monkeypatch.delattr(sys.modules[package], name)
    with pytest.raises(UsageError, match=r"langgraph-lmdb\[encryption\]"):
        open_encrypted(inner, KEY)
    plain = MemoryStore()
    assert open_encrypted(plain, None) is plain


def test_key_for_a_plain_read_only_store_is_refused(path: Path) -> None:
    writing = LmdbStore.open(path, sync="off")
    writing.write(lambda writer: writer.put(b"c", b"value"))
    reading = LmdbStore.open(path, sync="off", readonly=True)
    with pytest.raises(NotEncryptedError):
        open_encrypted(reading, KEY)
    reading.close()
    writing.close()


def test_read_only_store_opens_empty_and_sees_later_writes(path: Path) -> None:
    with pytest.raises(UsageError):
        LmdbStore.open(path, readonly=True)
    LmdbStore.open(path, sync="off").close()
    reading = open_encrypted(LmdbStore.open(path, sync="off", readonly=True), KEY)
    assert reading.readonly
    assert everything(reading) == {}, "opening read-only must not encrypt an empty store"
    writing = open_encrypted(LmdbStore.open(path, sync="off"), KEY)
    writing.write(lambda writer: writer.put(b"c", b"value"))
    assert everything(reading) == {b"c": b"value"}
    reading.close()
    writing.close()


@pytest.mark.parametrize("first", [KEY, None], ids=["encrypted", "plain"])
def test_concurrent_creation_with_and_without_a_key(first: Any) -> None:
    """The second creator, which has seen an empty store, is refused and changes nothing."""
    inner = Interrupted()
    inner.other = lambda: KvSaver(open_encrypted(inner, first))
    with pytest.raises((InvalidPathError, NotEncryptedError)):
        KvSaver(open_encrypted(inner, KEY if first is None else None))
    saver = KvSaver(open_encrypted(inner, first))
    saver.put(config("a"), checkpoint("1", 1, "text"), {}, {"x": 1})
    assert saver.verify().ok


class Interrupted(MemoryStore):
    """A store that another process changes right before its first write."""

    other: Callable[[], object] | None = None

    def write(self, apply: Callable[[Writer], T]) -> T:
        other, self.other = self.other, None
        if other is not None:
            other()
        return super().write(apply)
