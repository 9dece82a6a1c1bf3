"""An encrypted store against a plain dict, with keys that hold names and keys that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from langgraph.checkpoint.lmdb.encryption.key_source import HEADER
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


# Composite functions, because Hypothesis prints the sum of these strategies at length.
@st.composite
def keys(draw: st.DrawFn) -> bytes:
    """Draw a key with a name, without a name, or malformed."""
    letter = draw(st.sampled_from(["T", "n", "r", "m", "odd", "plain"]))
    if letter == "plain":
        return draw(plain.keys)
    store = b"s" if draw(st.booleans()) else b""
    if letter == "T":
        return store + b"T" + draw(ends)
    if letter == "n":
        return store + b"n" + draw(st.sampled_from(NUMBERS)) + draw(ends)
    if letter in "rm":
        return store + letter.encode() + draw(st.sampled_from(HASHES)) + draw(ends)
    return store + draw(st.sampled_from(ODD))


@st.composite
def prefixes(draw: st.DrawFn) -> bytes:
    """Draw a prefix of a key."""
    key = draw(keys())
    return key[: draw(st.integers(1, len(key)))]


@st.composite
def bounds(draw: st.DrawFn) -> bytes:
    """Draw a key, or bytes close to a key."""
    kind = draw(st.sampled_from(["key", "prefix", "after", "next", "plain", "header"]))
    if kind == "plain":
        return draw(plain.bounds)
    if kind == "header":
        return draw(st.sampled_from([HEADER, HEADER + b"\x00"]))
    key = draw(keys() if kind in ("key", "next") else prefixes())
    if kind == "next":
        return key + b"\x00"
    return plain_keys.prefix_end(key) if kind == "after" and key.strip(b"\xff") else key


@st.composite
def ranges(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw two bounds, or the range of a prefix."""
    prefix = draw(prefixes())
    if prefix.strip(b"\xff") and draw(st.booleans()):
        return prefix, plain_keys.prefix_end(prefix)
    return draw(bounds()), draw(bounds())


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Draw the changes of a transaction."""
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
    def write_names(self, changes: list[Any], undo: bool) -> None:
        self.write(changes=changes, undo=undo)

    @rule(bounds=ranges(), reverse=st.booleans(), key=keys())
    def read_names(self, bounds: tuple[bytes, bytes], reverse: bool, key: bytes) -> None:
        """Assert that a snapshot equals the model."""
        with self.store.read() as reader:
            assert reader.get(key) == self.model.get(key)
            self.apply_check(reader, self.model, *bounds, reverse)

    @rule()
    def check_values_are_encrypted(self) -> None:
        """Assert that only empty values are stored as they are."""
        assert isinstance(self.store, EncryptedStore)
        found = stored(self.store)
        assert len(found) == len(self.model)
        assert {v for v in found.values() if not v} == {v for v in self.model.values() if not v}
        for value in found.values():
            assert not value or len(value) > 30


class EncryptedOnLmdb(Encrypted):
    """An encrypted store on LMDB, which is also closed and opened again."""

    def open(self) -> KeyValueStore:
        return encrypted(LmdbStore.open(self.folder, sync="normal", map_size=1 << 20))

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()


@pytest.mark.parametrize("machine", [Encrypted, EncryptedOnLmdb])
def test_encrypted_store_equals_its_model(machine: type[Encrypted]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=settings().max_examples, stateful_step_count=20)
    )
