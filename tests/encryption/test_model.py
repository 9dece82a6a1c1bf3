"""An encrypted store against a plain dict, over keys with and without private parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from langgraph.checkpoint.lmdb.encryption.opening import HEADER
from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore
from langgraph.checkpoint.lmdb.format import keys as plain_keys
from langgraph.checkpoint.lmdb.kv import LmdbStore, MemoryStore
from tests.encryption.stores import encrypted, stored
from tests.kv import test_model as plain

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv import KeyValueStore

LONG = b"x" * 197
HASHES = (bytes(8), b"\xff" * 8, b"12345678")
ODD = (b"T", b"n", b"n\xf0", b"n\xff", b"r", b"rabc", b"m", b"S", b"U", b"o", b"s")
NUMBERS = tuple(map(plain_keys.number, (0, 1, 239, 240, 1 << 40)))
ends = plain.short | st.sampled_from([b"thread", b"\x80", b"a\x80\x00", LONG])


# Functions, for what the sums of these strategies look like in print is too long.
@st.composite
def keys(draw: st.DrawFn) -> bytes:
    """Keys with a private part, without one, and some that look as if they had one."""
    letter = draw(st.sampled_from(["T", "n", "r", "m", "odd", "plain"]))
    if letter == "T":
        return b"T" + draw(ends)
    if letter == "n":
        return b"n" + draw(st.sampled_from(NUMBERS)) + draw(ends)
    if letter in "rm":
        return letter.encode() + draw(st.sampled_from(HASHES)) + draw(ends)
    return draw(st.sampled_from(ODD) if letter == "odd" else plain.keys)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """What keys begin with."""
    key = draw(keys())
    return key[: draw(st.integers(1, len(key)))]


@st.composite
def bounds(draw: st.DrawFn) -> bytes:
    """Keys, and what is near them."""
    how = draw(st.sampled_from(["key", "head", "after", "behind", "plain", "header"]))
    if how == "plain":
        return draw(plain.bounds)
    if how == "header":
        return draw(st.sampled_from([HEADER, HEADER + b"\x00"]))
    key = draw(keys() if how in ("key", "behind") else heads())
    if how == "behind":
        return key + b"\x00"
    return plain_keys.prefix_end(key) if how == "after" and key.strip(b"\xff") else key


@st.composite
def ranges(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Any two bounds, or those of all that begins with the same bytes."""
    head = draw(heads())
    if head.strip(b"\xff") and draw(st.booleans()):
        return head, plain_keys.prefix_end(head)
    return draw(bounds()), draw(bounds())


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """What a transaction does."""
    found: list[tuple[Any, ...]] = []
    for _ in range(draw(st.integers(0, 8))):
        what = draw(
            st.sampled_from(["put", "put", "put", "delete", "delete_range", "check", "rewrite"])
        )
        if what == "put":
            found.append((what, draw(keys()), draw(plain.values)))
        elif what == "delete":
            found.append((what, draw(keys())))
        elif what == "delete_range":
            found.append((what, *draw(ranges())))
        elif what == "check":
            found.append((what, *draw(ranges()), draw(st.booleans())))
        else:
            end = draw(st.booleans()), draw(keys()), draw(plain.values)
            found.append((what, *draw(ranges()), *end))
    return found


class Encrypted(plain.Stores):
    """An encrypted store in memory and the dict that it should equal."""

    def open(self) -> KeyValueStore:
        return encrypted(MemoryStore())

    @rule(changes=changes(), undo=st.booleans())
    def write_private(self, changes: list[Any], undo: bool) -> None:
        self.write(changes=changes, undo=undo)

    @rule(bounds=ranges(), reverse=st.booleans(), key=keys())
    def read_private(self, bounds: tuple[bytes, bytes], reverse: bool, key: bytes) -> None:
        """A snapshot equals the model."""
        with self.store.read() as reader:
            assert reader.get(key) == self.model.get(key)
            self.apply_check(reader, self.model, *bounds, reverse)

    @rule()
    def hide(self) -> None:
        """What is stored holds no more than the empty ones of the values."""
        assert isinstance(self.store, EncryptedStore)
        found = stored(self.store)
        assert len(found) == len(self.model)
        assert {v for v in found.values() if not v} == {v for v in self.model.values() if not v}
        for value in found.values():
            assert not value or len(value) > 30


class EncryptedOnLmdb(Encrypted):
    """The same on LMDB, where a store can also be opened again."""

    def open(self) -> KeyValueStore:
        return encrypted(LmdbStore.open(self.folder, sync="normal", map_size=1 << 20))

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()


@pytest.mark.parametrize("machine", [Encrypted, EncryptedOnLmdb])
def test_an_encrypted_store_equals_its_model(machine: type[Encrypted]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=settings().max_examples, stateful_step_count=20)
    )
