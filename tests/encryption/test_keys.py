"""Which keys open a store, and what errors say of the others."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.encryption.opening import VARIABLE, KeySource, open_encrypted
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
    monkeypatch.delenv(VARIABLE, raising=False)


def filled(key: Any) -> MemoryStore:
    """A store with one value."""
    inner = MemoryStore()
    open_encrypted(inner, key).write(lambda writer: writer.put(b"c", b"value"))
    return inner


def opens(inner: KeyValueStore, key: Any) -> bool:
    return everything(open_encrypted(inner, key)) == {b"c": b"value"}


def test_a_key_opens_what_it_made_and_nothing_else_does() -> None:
    inner = filled(KEY)
    assert opens(inner, KEY)
    with pytest.raises(WrongKeyError, match="not the key"):
        open_encrypted(inner, OTHER)
    with pytest.raises(MissingKeyError, match=VARIABLE):
        open_encrypted(inner, None)


def test_without_a_key_a_store_is_not_encrypted_whatever_the_variable_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, KEY.decode())
    inner = MemoryStore()
    assert open_encrypted(inner, None) is inner


def test_a_key_for_a_store_that_is_not_encrypted_is_refused() -> None:
    inner = filled(None)
    with pytest.raises(NotEncryptedError, match="copy_store"):
        open_encrypted(inner, KEY)
    assert opens(inner, None)


def test_a_store_that_was_filled_at_that_moment_is_not_encrypted() -> None:
    class Overtaken(MemoryStore):
        def write(self, apply: Any) -> Any:
            super().write(lambda writer: writer.put(b"c", b"value"))
            return super().write(apply)

    inner = Overtaken()
    with pytest.raises(NotEncryptedError):
        open_encrypted(inner, KEY)
    assert everything(inner) == {b"c": b"value"}


def test_two_who_make_a_store_at_once_have_the_same_one() -> None:
    class Overtaken(MemoryStore):
        first = True

        def write(self, apply: Any) -> Any:
            if self.first:
                self.first = False
                open_encrypted(self, KEY).write(lambda writer: writer.put(b"c", b"value"))
            return super().write(apply)

    inner = Overtaken()
    assert opens(inner, KEY)


def test_the_variable_opens_and_makes_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingKeyError, match=VARIABLE):
        open_encrypted(MemoryStore(), "env")
    monkeypatch.setenv(VARIABLE, KEY.decode())
    inner = filled("env")
    assert isinstance(open_encrypted(inner, "env"), EncryptedStore)
    assert opens(inner, "env")
    assert opens(inner, KEY)
    assert opens(inner, None)
    monkeypatch.setenv(VARIABLE, OTHER.decode())
    with pytest.raises(WrongKeyError, match=VARIABLE):
        open_encrypted(inner, None)
    monkeypatch.setenv(VARIABLE, "k" * 16)
    with pytest.raises(UsageError, match="LANGGRAPH_AES_KEY has 16 bytes instead of 32"):
        open_encrypted(inner, None)


@pytest.mark.parametrize(
    "key", [b"", b"k" * 16, b"k" * 24, b"k" * 33, "k" * 32, 32, [], [KEY, b"short"], [None], {}]
)
@pytest.mark.parametrize("called", [False, True])
def test_what_is_no_key_is_refused_and_makes_no_store(key: Any, called: bool) -> None:
    inner = MemoryStore()
    with pytest.raises(UsageError, match="32"):
        open_encrypted(inner, (lambda: key) if called else key)
    assert everything(inner) == {}


def test_any_of_several_keys_opens_and_the_first_one_makes() -> None:
    assert opens(filled(OTHER), [KEY, OTHER])
    inner = filled([KEY, OTHER])
    assert opens(inner, KEY)
    with pytest.raises(WrongKeyError):
        open_encrypted(inner, OTHER)


def test_a_function_is_asked_when_a_key_is_needed_and_never_in_a_transaction() -> None:
    asked = []

    def ask() -> bytes:
        with inner.read():  # the store's lock is free
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


def test_a_key_that_was_preferred_is_known_whatever_the_function_says() -> None:
    source = KeySource(lambda: KEY)
    source.prefer(OTHER)
    for key in (KEY, OTHER, KEY):
        assert source.find(key.__eq__) == key


def test_what_the_function_raises_is_raised() -> None:
    def ask() -> bytes:
        raise PermissionError("the key is locked away")

    with pytest.raises(PermissionError, match="locked away"):
        open_encrypted(filled(KEY), ask)


def test_the_errors_have_kinds_of_their_own() -> None:
    kinds = {error.kind for error in (MissingKeyError, NotEncryptedError, WrongKeyError)}
    assert len(kinds) == 3
    assert all(issubclass(error, LmdbSaverError) for error in (MissingKeyError, WrongKeyError))


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_key_for_a_store_that_is_only_read_and_not_encrypted(path: Path) -> None:
    writing = LmdbStore.open(path, sync="off")
    writing.write(lambda writer: writer.put(b"c", b"value"))
    reading = LmdbStore.open(path, sync="off", readonly=True)
    with pytest.raises(NotEncryptedError):
        open_encrypted(reading, KEY)
    reading.close()
    writing.close()


def test_a_store_that_is_only_read(path: Path) -> None:
    with pytest.raises(UsageError):
        LmdbStore.open(path, readonly=True)
    LmdbStore.open(path, sync="off").close()
    reading = open_encrypted(LmdbStore.open(path, sync="off", readonly=True), KEY)
    assert reading.readonly
    assert everything(reading) == {}, "an empty store stays as it is, and is read"
    writing = open_encrypted(LmdbStore.open(path, sync="off"), KEY)
    writing.write(lambda writer: writer.put(b"c", b"value"))
    assert everything(reading) == {b"c": b"value"}
    reading.close()
    writing.close()


@pytest.mark.parametrize("first", [KEY, None], ids=["encrypted", "plain"])
def test_two_that_make_a_store_at_once_one_with_a_key_and_one_without(first: Any) -> None:
    """Whoever comes second, after it has seen an empty store, is refused and spoils nothing."""
    inner = Interrupted()
    inner.other = lambda: LmdbSaver.on(open_encrypted(inner, first))
    with pytest.raises((InvalidPathError, NotEncryptedError)):
        LmdbSaver.on(open_encrypted(inner, KEY if first is None else None))
    saver = LmdbSaver.on(open_encrypted(inner, first))
    saver.put(config("a"), checkpoint("1", 1, "text"), {}, {"x": 1})
    assert saver.verify().ok


class Interrupted(MemoryStore):
    """A store that another process comes to right before the first write to it."""

    other: Callable[[], object] | None = None

    def write(self, apply: Callable[[Writer], T]) -> T:
        other, self.other = self.other, None
        if other is not None:
            other()
        return super().write(apply)
