"""An encrypted store against a plain dict, over keys with and without private parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from langgraph.checkpoint.lmdb.engine import keys as plain_keys
from langgraph.checkpoint.lmdb.engine.encrypted import EncryptedStore
from langgraph.checkpoint.lmdb.engine.private import HEADER
from langgraph.checkpoint.lmdb.kv import LmdbStore, MemoryStore
from tests.encryption.stores import encrypted, stored
from tests.kv import test_model as plain

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv import KeyValueStore

LONG = b"x" * 197
HASHES = (bytes(8), b"\xff" * 8, b"12345678")
# Deferred, for their sums are too long to be printed.
ends = st.deferred(
    lambda: plain.short | st.sampled_from([b"thread-1", b"\x80", b"a\x80\x00", LONG])
)
numbers = st.sampled_from([0, 1, 239, 240, 1 << 40]).map(plain_keys.number)
whole = st.deferred(
    lambda: (
        st.tuples(st.just(b"T"), ends)
        | st.tuples(st.just(b"n"), numbers, ends)
        | st.tuples(st.sampled_from([b"r", b"m"]), st.sampled_from(HASHES), ends)
    ).map(b"".join)
)
odd = st.sampled_from([b"T", b"n", b"n\xf0", b"n\xff", b"r", b"rabc", b"m", b"S", b"U", b"o", b"s"])
keys = st.deferred(lambda: whole | whole | odd | plain.keys)
before = whole.flatmap(lambda key: st.integers(0, len(key)).map(lambda size: key[:size]))
beside = before.filter(bool).map(plain_keys.after) | whole.map(lambda key: key + b"\x00")
bounds = st.deferred(lambda: whole | odd | before | beside | plain.bounds | headers)
headers = st.sampled_from([HEADER, HEADER + b"\x00"])
prefixes = st.deferred(
    lambda: (whole | before | odd).filter(bool).map(lambda key: (key, plain_keys.after(key)))
)
values = plain.values
changes = st.lists(
    st.tuples(st.just("put"), keys, values)
    | st.tuples(st.just("put"), keys, values)
    | st.tuples(st.just("delete"), keys)
    | st.tuples(st.just("delete_range"), bounds, bounds)
    | prefixes.map(lambda bounds: ("delete_range", *bounds))
    | st.tuples(st.just("check"), bounds, bounds, st.booleans())
    | st.tuples(st.just("rewrite"), bounds, bounds, st.booleans(), keys, values)
    | st.tuples(prefixes, st.booleans(), keys, values).map(
        lambda row: ("rewrite", *row[0], *row[1:])
    ),
    max_size=8,
)


class Encrypted(plain.Stores):
    """An encrypted store in memory and the dict that it should equal."""

    def open(self) -> KeyValueStore:
        return encrypted(MemoryStore())

    @rule(changes=changes, undo=st.booleans())
    def write_private(self, changes: list[Any], undo: bool) -> None:
        self.write(changes=changes, undo=undo)

    @rule(start=bounds, stop=bounds, reverse=st.booleans(), key=keys)
    def read_private(self, start: bytes, stop: bytes, reverse: bool, key: bytes) -> None:
        """A snapshot equals the model."""
        with self.store.read() as reader:
            assert reader.get(key) == self.model.get(key)
            self.apply_check(reader, self.model, start, stop, reverse)

    @rule(bounds=prefixes, reverse=st.booleans())
    def read_prefix(self, bounds: tuple[bytes, bytes], reverse: bool) -> None:
        with self.store.read() as reader:
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
