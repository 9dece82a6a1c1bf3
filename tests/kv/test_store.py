"""The behavior of every store, on LMDB and in memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.errors import StoreClosedError, UsageError
from langgraph.checkpoint.lmdb.kv.base import MAX_KEY_SIZE
from langgraph.checkpoint.lmdb.kv.prefixed import PrefixedStore
from tests.kv.processes import in_thread

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv import KeyValueStore, Writer

KEYS = [b"\x00", b"a", b"a\x00", b"ab", b"b", b"\xff", b"\xff\xff"]


def fill(store: KeyValueStore, keys: list[bytes] = KEYS) -> None:
    def apply(writer: Writer) -> None:
        for key in reversed(keys):
            writer.put(key, b"value of " + key)

    store.write(apply)


def longest_key(store: KeyValueStore) -> int:
    """Return the bytes of the longest key."""
    return MAX_KEY_SIZE - (len(store.prefix) if isinstance(store, PrefixedStore) else 0)


def test_get_returns_what_put_stored(store: KeyValueStore) -> None:
    fill(store)
    with store.read() as reader:
        assert reader.get(b"a") == b"value of a"
        assert reader.get(b"absent") is None


def test_put_replaces_the_value(store: KeyValueStore) -> None:
    fill(store)
    store.write(lambda writer: writer.put(b"a", b"new"))
    with store.read() as reader:
        assert reader.get(b"a") == b"new"


def test_empty_value_can_be_stored(store: KeyValueStore) -> None:
    store.write(lambda writer: writer.put(b"k", b""))
    with store.read() as reader:
        assert reader.get(b"k") == b""
        assert list(reader.range(b"", b"z")) == [(b"k", b"")]
    assert store.write(lambda writer: writer.delete(b"k"))


def test_get_many_yields_a_value_for_each_key_in_order(store: KeyValueStore) -> None:
    fill(store)
    with store.read() as reader:
        found = list(reader.get_many([b"b", b"absent", b"a", b"b"]))
        assert found == [b"value of b", None, b"value of a", b"value of b"]
        assert list(reader.get_many([])) == []
        with pytest.raises(ValueError, match="1 to 511"):
            list(reader.get_many([b"a", b""]))


def test_ranges_yields_the_rows_of_each_range_in_order(store: KeyValueStore) -> None:
    fill(store)
    bounds = [(b"b", b"\xff\xff"), (b"c", b"d"), (b"a", b"b"), (b"b", b"a"), (b"a", b"b")]
    with store.read() as reader:
        found = [list(rows) for rows in reader.ranges(bounds)]
        assert found == [list(reader.range(start, stop)) for start, stop in bounds]
        assert [*map(len, found)] == [2, 0, 3, 0, 3]


def test_many_reads_of_a_writer_include_its_own_writes(store: KeyValueStore) -> None:
    fill(store)

    def apply(writer: Writer) -> None:
        writer.put(b"a", b"new")
        writer.delete(b"b")
        assert list(writer.get_many([b"a", b"b"])) == [b"new", None]
        ((first, *_), second) = (list(rows) for rows in writer.ranges([(b"a", b"b"), (b"b", b"c")]))
        assert (first, second) == ((b"a", b"new"), [])

    store.write(apply)


def test_new_numbers_are_given_once_by_a_store_with_many_writers(store: KeyValueStore) -> None:
    with store.read() as reader:
        many_writers = reader.many_writers
    if many_writers:
        numbers = [store.write(lambda writer: writer.new_number()) for _ in range(5)]
        assert len({*numbers}) == 5
        assert min(numbers) > 0
    else:
        with pytest.raises(NotImplementedError):
            store.write(lambda writer: writer.new_number())


def test_large_value_can_be_stored(store: KeyValueStore) -> None:
    value = bytes(range(256)) * 20_000
    store.write(lambda writer: writer.put(b"k", value))
    with store.read() as reader:
        assert reader.get(b"k") == value


def test_write_returns_what_apply_returns(store: KeyValueStore) -> None:
    assert store.write(lambda writer: 42) == 42


def test_delete_returns_true_if_the_key_existed(store: KeyValueStore) -> None:
    fill(store)
    assert store.write(lambda writer: (writer.delete(b"a"), writer.delete(b"a"))) == (True, False)
    with store.read() as reader:
        assert reader.get(b"a") is None


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (b"", b"\xff\xff\xff"),
        (b"a", b"b"),
        (b"a\x00", b"ab"),
        (b"a", b"a"),
        (b"b", b"a"),
        (b"", b""),
        (b"\x00", b"\x01"),
        (b"b\x00", b"\xff"),
        (b"\xff", b"\xff\xff"),
        (b"\xff\xff\x00", b"\xff\xff\xff"),
        (b"", b"\x00"),
        (b"a" * 600, b"b" * 600),
    ],
)
def test_range_includes_its_start_and_excludes_its_stop(
    store: KeyValueStore, start: bytes, stop: bytes, reverse: bool
) -> None:
    fill(store)
    expected = sorted((key for key in KEYS if start <= key < stop), reverse=reverse)
    with store.read() as reader:
        assert list(reader.keys(start, stop, reverse=reverse)) == expected
        pairs = list(reader.range(start, stop, reverse=reverse))
    assert pairs == [(key, b"value of " + key) for key in expected]


@pytest.mark.parametrize("reverse", [False, True])
def test_range_of_an_empty_store_is_empty(store: KeyValueStore, reverse: bool) -> None:
    with store.read() as reader:
        assert list(reader.range(b"", b"\xff", reverse=reverse)) == []


@pytest.mark.parametrize(
    ("start", "stop"),
    [(b"", b"\xff\xff\xff"), (b"a", b"b"), (b"b", b"a"), (b"", b""), (b"c", b"d")],
)
def test_delete_range_deletes_the_keys_of_range(
    store: KeyValueStore, start: bytes, stop: bytes
) -> None:
    fill(store)
    inside = [key for key in KEYS if start <= key < stop]
    assert store.write(lambda writer: writer.delete_range(start, stop)) == len(inside)
    with store.read() as reader:
        assert list(reader.keys(b"", b"\xff\xff\xff")) == [k for k in KEYS if k not in inside]


def test_delete_range_over_many_pages(store: KeyValueStore) -> None:
    keys = [b"%05d" % number for number in range(3000)]
    fill(store, keys)
    assert store.write(lambda writer: writer.delete_range(b"00500", b"02500")) == 2000
    with store.read() as reader:
        assert list(reader.keys(b"", b"z")) == keys[:500] + keys[2500:]


def test_keys_have_1_to_511_bytes(store: KeyValueStore) -> None:
    longest = b"k" * longest_key(store)
    store.write(lambda writer: writer.put(longest, b"v"))
    with store.read() as reader:
        assert reader.get(longest) == b"v"
        assert list(reader.keys(longest, longest + b"\x00")) == [longest]
        for key in (b"", b"k" * 512):
            with pytest.raises(ValueError, match="1 to 511"):
                reader.get(key)
    for key in (b"", b"k" * 512):
        with pytest.raises(ValueError, match="1 to 511"):
            store.write(lambda writer, key=key: writer.put(key, b"v"))
        with pytest.raises(ValueError, match="1 to 511"):
            store.write(lambda writer, key=key: writer.delete(key))


def test_wrong_key_leaves_the_transaction_usable(store: KeyValueStore) -> None:
    def apply(writer: Writer) -> None:
        with pytest.raises(ValueError, match="1 to 511"):
            writer.put(b"", b"v")
        writer.put(b"k", b"v")

    store.write(apply)
    with store.read() as reader:
        assert reader.get(b"k") == b"v"


def test_writer_reads_its_own_writes(store: KeyValueStore) -> None:
    def apply(writer: Writer) -> None:
        writer.put(b"k", b"v")
        assert writer.get(b"k") == b"v"
        assert list(writer.range(b"", b"z")) == [(b"k", b"v")]
        writer.delete(b"k")
        assert writer.get(b"k") is None
        assert list(writer.keys(b"", b"z")) == []

    store.write(apply)


def test_exception_undoes_the_whole_transaction(store: KeyValueStore) -> None:
    fill(store)

    def apply(writer: Writer) -> None:
        writer.put(b"new", b"v")
        writer.delete_range(b"", b"\xff")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store.write(apply)
    with store.read() as reader:
        assert list(reader.keys(b"", b"\xff\xff\xff")) == KEYS
    fill(store)


def test_snapshot_does_not_change(store: KeyValueStore) -> None:
    fill(store)
    with store.read() as reader:
        under_way = reader.range(b"", b"\xff\xff\xff")
        first = next(under_way)

        def apply(writer: Writer) -> None:
            writer.delete_range(b"", b"\xff")
            writer.put(b"b", b"new")

        in_thread(lambda: store.write(apply))
        assert reader.get(b"a") == b"value of a"
        assert [first, *under_way] == [(key, b"value of " + key) for key in KEYS]
        assert list(reader.keys(b"", b"\xff\xff\xff")) == KEYS
    with store.read() as reader:
        assert list(reader.keys(b"", b"\xff\xff\xff")) == [b"b", b"\xff", b"\xff\xff"]


def test_transaction_is_closed_after_its_block(store: KeyValueStore) -> None:
    fill(store)
    kept: list[Writer] = []
    store.write(kept.append)
    with store.read() as reader:
        under_way = reader.range(b"", b"\xff")
        next(under_way)
        fresh = reader.keys(b"", b"\xff")
    for read in (
        lambda: reader.get(b"a"),
        lambda: next(under_way),
        lambda: next(fresh),
        lambda: kept[0].get(b"a"),
        lambda: kept[0].put(b"a", b""),
        lambda: kept[0].delete(b"a"),
        lambda: kept[0].delete_range(b"a", b"b"),
    ):
        with pytest.raises(UsageError, match="transaction is closed"):
            read()


def test_second_transaction_of_one_thread_is_an_error(store: KeyValueStore) -> None:
    with store.read():
        with pytest.raises(UsageError, match="already has a transaction"):
            store.read().__enter__()
        with pytest.raises(UsageError, match="already has a transaction"):
            store.write(lambda writer: None)

    def apply(writer: Writer) -> None:
        with pytest.raises(UsageError, match="already has a transaction"):
            store.read().__enter__()
        with pytest.raises(UsageError, match="already has a transaction"):
            store.write(lambda writer: None)
        writer.put(b"k", b"v")

    store.write(apply)
    with store.read() as reader:
        assert reader.get(b"k") == b"v"


def test_writers_take_turns(store: KeyValueStore) -> None:
    def count(writer: Writer) -> None:
        writer.put(b"n", b"%d" % (int(writer.get(b"n") or 0) + 1))

    def work() -> None:
        for _ in range(25):
            store.write(count)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as reader:
        assert reader.get(b"n") == b"200"


def test_closed_store_refuses_every_call_except_close(store: KeyValueStore) -> None:
    waiting = store.read()
    store.close()
    store.close()
    for use in (
        waiting.__enter__,
        lambda: store.read().__enter__(),
        lambda: store.write(lambda writer: None),
        store.size,
    ):
        with pytest.raises(StoreClosedError, match="closed"):
            use()
