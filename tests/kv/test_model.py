"""The stores compared with a dict, over any sequence of transactions and dry runs."""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from langgraph.checkpoint.lmdb.kv import KeyValueStore, LmdbStore, MemoryStore
from langgraph.checkpoint.lmdb.kv.buffering import BufferingWriter
from langgraph.checkpoint.lmdb.kv.log import log_file
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from tests.kv.log.ends import end_process

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv import Reader, Writer

short = st.lists(st.sampled_from(b"\x00\x01ab\xff"), max_size=3).map(bytes)
bounds = short | st.binary(max_size=4)
keys = short.filter(bool) | st.sampled_from([b"a" * 511, b"a" * 510, b"\xff" * 511])
values = st.binary(max_size=20) | st.integers(1, 5).map(lambda pages: b"v" * 4096 * pages)
changes = st.lists(
    st.tuples(st.just("put"), keys, values)
    | st.tuples(st.just("delete"), keys)
    | st.tuples(st.just("delete_range"), bounds, bounds)
    | st.tuples(st.just("check"), bounds, bounds, st.booleans())
    | st.tuples(st.just("rewrite"), bounds, bounds, st.booleans(), keys, values),
    max_size=8,
)


class UndoError(Exception):
    """An error that undoes a transaction."""


class Stores(RuleBasedStateMachine):
    """A store and the dict that it must equal."""

    def open(self) -> KeyValueStore:
        return MemoryStore()

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.store = self.open()
        self.model: dict[bytes, bytes] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(changes=changes, undo=st.booleans())
    def write(self, changes: list[tuple], undo: bool) -> None:
        """Run one transaction, and commit or undo it."""

        def apply(writer: Writer) -> dict[bytes, bytes]:
            model = self.apply(writer, changes)
            if undo:
                raise UndoError
            return model

        try:
            self.model = self.store.write(apply)
        except UndoError:
            assert undo

    @rule(changes=changes, start=bounds, stop=bounds, reverse=st.booleans())
    def dry_run(self, changes: list[tuple], start: bytes, stop: bytes, reverse: bool) -> None:
        """Run the changes above a snapshot. The invariant checks that nothing is stored."""
        with self.store.read() as reader:
            writer = BufferingWriter(reader)
            model = self.apply(writer, changes)
            self.apply_check(writer, model, start, stop, reverse)
            self.apply_check(writer, model, b"", b"\xff" * 512, reverse)

    def apply(self, writer: Writer, changes: list[tuple]) -> dict[bytes, bytes]:
        """Apply changes to a writer, and return the model with them."""
        model = dict(self.model)
        for name, *arguments in changes:
            getattr(self, f"apply_{name}")(writer, model, *arguments)
        return model

    def apply_put(self, writer: Writer, model: dict, key: bytes, value: bytes) -> None:
        writer.put(key, value)
        model[key] = value

    def apply_delete(self, writer: Writer, model: dict, key: bytes) -> None:
        assert writer.delete(key) == (model.pop(key, None) is not None)

    def apply_delete_range(self, writer: Writer, model: dict, start: bytes, stop: bytes) -> None:
        deleted = [key for key in model if start <= key < stop]
        assert writer.delete_range(start, stop) == len(deleted)
        for key in deleted:
            del model[key]

    def apply_check(
        self, reader: Reader, model: dict, start: bytes, stop: bytes, reverse: bool
    ) -> None:
        inside = sorted(
            (pair for pair in model.items() if start <= pair[0] < stop), reverse=reverse
        )
        assert list(reader.range(start, stop, reverse=reverse)) == inside
        assert list(reader.keys(start, stop, reverse=reverse)) == [key for key, _ in inside]
        first = inside[0][0] if inside else None
        assert reader.first_key(start, stop, reverse=reverse) == first

    def apply_rewrite(
        self,
        writer: Writer,
        model: dict,
        start: bytes,
        stop: bytes,
        reverse: bool,
        extra: bytes,
        value: bytes,
    ) -> None:
        """Delete every other key and put another one while iterating."""
        here: bytes | None = None
        for turn, (key, found) in enumerate(writer.range(start, stop, reverse=reverse)):
            ahead = [
                other
                for other in model
                if start <= other < stop
                and (here is None or (other < here if reverse else other > here))
            ]
            assert key == (max(ahead) if reverse else min(ahead))
            assert found == model[key]
            if turn % 2:
                self.apply_delete(writer, model, key)
            else:
                self.apply_put(writer, model, extra, value)
            here = key

    @rule(start=bounds, stop=bounds, reverse=st.booleans(), key=keys)
    def read(self, start: bytes, stop: bytes, reverse: bool, key: bytes) -> None:
        """Check that a snapshot equals the model."""
        with self.store.read() as reader:
            assert reader.get(key) == self.model.get(key)
            self.apply_check(reader, self.model, start, stop, reverse)

    @invariant()
    def equal(self) -> None:
        """Check that the store equals the model."""
        with self.store.read() as reader:
            assert dict(reader.range(b"", b"\xff" * 512)) == self.model


class LmdbStores(Stores):
    """A store on LMDB, which can also be opened again."""

    def open(self) -> KeyValueStore:
        return LmdbStore.open(self.folder, sync="normal", map_size=1 << 20)

    @rule()
    def reopen(self) -> None:
        """Close and open the store, which keeps all records."""
        self.store.close()
        self.store = self.open()


class LogStores(LmdbStores):
    """A store with a log, which is merged when it is full, or when a rule says so."""

    store: LogStore

    def open(self) -> LogStore:
        return LogStore.open(self.folder, sync="off", map_size=1 << 20)

    @rule()
    def merge(self) -> None:
        """Merge, which changes nothing."""
        self.store.merge()

    @rule()
    def end(self) -> None:
        """End the process, which loses nothing."""
        end_process(self.store)
        self.store = self.open()

    @rule(count=st.integers(1, 60), reverse=st.booleans())
    def many(self, count: int, reverse: bool) -> None:
        """Fill the log."""
        for number in range(count):
            self.write([("put", b"many%d" % (number % 40), bytes(100))], undo=False)
        self.read(b"", b"\xff" * 512, reverse, b"many1")


@pytest.mark.parametrize("machine", [Stores, LmdbStores, LogStores])
def test_store_behaves_as_a_sorted_dict(
    machine: type[Stores], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "SIZE", 6000)
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=20))
