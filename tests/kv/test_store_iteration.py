"""Iterations of a write transaction that changes what it iterates over, on every store."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.kv.test_store import fill, longest_key

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv import KeyValueStore, Writer


@pytest.mark.parametrize("reverse", [False, True])
def test_iteration_continues_behind_deleted_keys(store: KeyValueStore, reverse: bool) -> None:
    keys = [b"%05d" % number for number in range(1000)]
    fill(store, keys)

    def apply(writer: Writer) -> list[bytes]:
        seen = []
        for key, _ in writer.range(b"", b"z", reverse=reverse):
            seen.append(key)
            assert writer.delete(key)
        return seen

    assert store.write(apply) == sorted(keys, reverse=reverse)
    with store.read() as reader:
        assert list(reader.keys(b"", b"z")) == []


def test_iteration_includes_only_changes_ahead(store: KeyValueStore) -> None:
    fill(store, [b"b", b"d", b"f", b"h"])

    def forward(writer: Writer) -> list[bytes]:
        seen = []
        for key in writer.keys(b"", b"z"):
            seen.append(key)
            if key == b"d":
                writer.delete(b"f")
                writer.put(b"a", b"")
                writer.put(b"e", b"")
                writer.put(b"zz", b"")
        return seen

    def backward(writer: Writer) -> list[bytes]:
        seen = []
        for key, _ in writer.range(b"a", b"z", reverse=True):
            seen.append(key)
            if key == b"d":
                writer.put(b"g", b"")
                writer.put(b"c", b"")
                writer.delete(b"b")
                writer.delete(b"d")
        return seen

    assert store.write(forward) == [b"b", b"d", b"e", b"h"]
    assert store.write(backward) == [b"h", b"e", b"d", b"c", b"a"]


def test_iteration_over_the_longest_keys_may_change_them(store: KeyValueStore) -> None:
    size = longest_key(store) - 1
    keys = [b"k" * size + bytes([number]) for number in range(5)]
    fill(store, keys)

    def apply(writer: Writer) -> list[bytes]:
        seen = []
        for key in writer.keys(b"", b"z"):
            seen.append(key)
            writer.put(key, b"again")
        return seen

    assert store.write(apply) == keys


def test_two_iterations_in_one_transaction(store: KeyValueStore) -> None:
    fill(store, [b"a", b"b", b"c"])

    def apply(writer: Writer) -> list[tuple[bytes, bytes]]:
        return [
            (one, other)
            for one in writer.keys(b"", b"z")
            for other in writer.keys(b"", b"z", reverse=True)
            if writer.put(b"a", one) is None
        ]

    assert store.write(apply) == [(one, other) for one in KEYS_ABC for other in KEYS_ABC[::-1]]


KEYS_ABC = [b"a", b"b", b"c"]


@pytest.mark.parametrize("seed", range(12))
def test_iteration_among_many_changes_yields_each_key_once(store: KeyValueStore, seed: int) -> None:
    """Pages split and merge during the iteration, after which a cursor of LMDB skips keys."""
    random = Random(seed)
    longest = (10, 300, 1500, 5000)[seed % 4]
    reverse = bool(seed & 1)
    model: dict[bytes, bytes] = {}

    def change(writer: Writer, key: bytes) -> None:
        if key in model and random.random() < 0.5:
            assert writer.delete(key)
            del model[key]
        else:
            model[key] = random.randbytes(1) * random.randrange(longest)
            writer.put(key, model[key])

    def a_key() -> bytes:
        return b"%03d" % random.randrange(400)

    def ahead_of(here: bytes | None) -> list[bytes]:
        return [key for key in model if here is None or (key < here if reverse else key > here)]

    def apply(writer: Writer) -> None:
        for _ in range(300):
            change(writer, a_key())
        here: bytes | None = None
        for key, value in writer.range(b"", b"z", reverse=reverse):
            assert key == (max if reverse else min)(ahead_of(here))
            assert value == model[key]
            here = key
            for _ in range(random.randrange(3)):
                change(writer, key if random.random() < 0.4 else a_key())
        assert not ahead_of(here)

    store.write(apply)
    with store.read() as reader:
        assert dict(reader.range(b"", b"z")) == model
