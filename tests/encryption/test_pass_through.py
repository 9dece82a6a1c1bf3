"""An encrypted store passes calls on to the store below it, and copies a store to its own kind."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.encryption.copy import copy_to_folder
from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore
from langgraph.checkpoint.lmdb.kv import KeyValueStore, LmdbStore, MemoryStore
from langgraph.checkpoint.lmdb.kv.base import Reader, WrapperStore
from langgraph.checkpoint.lmdb.kv.prefixed import PrefixedStore
from tests.contract.driver import SaverDriver, config, put
from tests.encryption.stores import KEY, OTHER

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")


class OtherStore(LmdbStore):
    """A store of another kind, which creates stores in folders of its own."""

    __slots__ = ("created", "created_at", "reserved")

    def reserve_map(self) -> None:
        self.reserved = True
        super().reserve_map()

    @contextmanager
    def new_store(self, path: str | os.PathLike[str]) -> Iterator[KeyValueStore]:
        self.created = MemoryStore()
        self.created_at = path
        yield self.created


def test_every_method_is_passed_on() -> None:
    """Wrappers begin transactions of their own. `folder` is derived from `files`."""
    names = {name for name in vars(KeyValueStore) if not name.startswith("_")}
    assert names - {"folder", "read", "view", "write"} <= vars(WrapperStore).keys()
    assert issubclass(EncryptedStore, WrapperStore)


class ViewedStore(MemoryStore):
    """A store that counts its views."""

    views = 0

    def view(self, apply: Callable[[Reader], T]) -> T:
        self.views += 1
        return super().view(apply)


@pytest.mark.parametrize(
    "wrap", [lambda kv: open_encrypted(kv, KEY), lambda kv: PrefixedStore(kv, b"p")]
)
def test_view_is_a_view_of_the_store_below(wrap: Callable[[KeyValueStore], KeyValueStore]) -> None:
    """A store on another machine answers from its cache, and repeats a read that was cut."""
    inner = ViewedStore()
    kv = wrap(inner)
    kv.write(lambda writer: writer.put(b"key", b"value"))
    assert kv.view(lambda reader: [reader.get(b"key"), *reader.keys(b"", b"z")]) == [
        b"value",
        b"key",
    ]
    assert inner.views == 1


def test_view_follows_a_rotation_of_keys() -> None:
    """Another process has replaced the header."""
    inner = MemoryStore()
    kv, other = open_encrypted(inner, [KEY, OTHER]), open_encrypted(inner, KEY)
    saver = KvSaver(kv)
    put(SaverDriver(saver), "c1", {"text": "value"})
    KvSaver(other).rotate_key(OTHER)
    assert KvSaver(kv).get_tuple(config()) is not None


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_copy_reserves_map_and_is_of_the_same_kind(tmp_path: Path, key: bytes | None) -> None:
    with closing(open_encrypted(OtherStore.open(tmp_path / "store", sync="off"), key)) as kv:
        saver = KvSaver(kv)
        put(SaverDriver(saver), "c1", {"text": "value"})
        listed = [*saver.list(None)]
        saver.copy_store(tmp_path / "copy", encryption_key=OTHER)
        source = kv.files
        assert isinstance(source, OtherStore)
        assert source.reserved
        assert str(source.created_at) == str(tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
        assert [*KvSaver(open_encrypted(source.created, OTHER)).list(None)] == listed


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_store_without_files_is_copied_to_lmdb(tmp_path: Path, key: bytes | None) -> None:
    kv = open_encrypted(MemoryStore(), key)
    kv.write(lambda writer: writer.put(b"\x00format", b"f"))
    copy_to_folder(kv, str(tmp_path / "copy"), None)
    with closing(LmdbStore.open(tmp_path / "copy", sync="off")) as copy, copy.read() as reader:
        assert reader.get(b"\x00format") == b"f"


def test_encrypted_store_checks_for_an_open_transaction(tmp_path: Path) -> None:
    """The error comes before a call waits for its own thread."""
    with closing(open_encrypted(LmdbStore.open(tmp_path / "store", sync="off"), KEY)) as kv:
        kv.check_no_transaction()
        with kv.read(), pytest.raises(ValueError, match="already has a transaction"):
            kv.check_no_transaction()
