"""Rotations of the key, with concurrent readers, writers and rotations, and interrupted ones."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.encryption import rotation
from langgraph.checkpoint.lmdb.encryption.key_source import KeySource
from langgraph.checkpoint.lmdb.encryption.rotation import KeyRotation
from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    PlaintextRecordError,
    ReadOnlyError,
    UsageError,
    WrongKeyError,
)
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv import LmdbStore, MemoryStore
from tests.encryption.stores import KEY, OTHER, encrypted, everything, stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langgraph.checkpoint.lmdb.encryption.rotation import RotationProgress
    from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore
    from langgraph.checkpoint.lmdb.kv import KeyValueStore, Writer

THIRD = b"t" * 32
VALUES = {
    **{keys.thread_id(f"thread {n}"): b"a thread" for n in range(5)},
    **{keys.checkpoint(keys.NamespaceRef(1, 0), f"{n:03}"): b"%d" % n * 9 for n in range(20)},
    **{b"k%03d" % n: b"" for n in range(5)},
}


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_BATCH_VALUES", 3)


def fill(inner: KeyValueStore) -> EncryptedStore:
    def apply(writer: Writer) -> None:
        for key, value in VALUES.items():
            writer.put(key, value)

    store = encrypted(inner)
    store.write(apply)
    return store


def steps(store: EncryptedStore, key: Any) -> Iterator[None]:
    """Rotate to the key, one step per iteration."""
    rotation = KeyRotation(store, KeySource(key).first())
    progress: RotationProgress | None = store.write(rotation.begin)
    yield
    while progress is not None:
        progress = store.write(partial(rotation.proceed, progress=progress))
        yield


def rotate(store: EncryptedStore, key: Any) -> int:
    """Rotate to the key; return the number of steps."""
    return sum(1 for _ in steps(store, key))


def data_keys(store: EncryptedStore) -> set[bytes]:
    """Return the prefixes of the stored values, which name the data keys."""
    return {value[:2] for value in stored(store).values() if value}


def test_only_the_new_key_opens_a_rotated_store(inner: KeyValueStore) -> None:
    store = fill(inner)
    before = stored(store)
    assert rotate(store, OTHER) > 9
    after = stored(store)
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before if before[name])
    assert everything(store) == everything(encrypted(inner, OTHER)) == VALUES
    with pytest.raises(WrongKeyError):
        encrypted(inner, KEY)
    assert rotate(store, THIRD) > 9
    assert everything(encrypted(inner, THIRD)) == VALUES
    with pytest.raises(WrongKeyError):
        encrypted(inner, OTHER)


def test_both_keys_read_and_write_until_the_last_step(inner: KeyValueStore) -> None:
    rotating, old = fill(inner), encrypted(inner, KEY)
    model = dict(VALUES)
    both = 0
    for count, _ in enumerate(steps(rotating, OTHER)):
        try:
            opened = encrypted(inner, KEY)
        except WrongKeyError:
            break
        both += 1
        for n, store in enumerate((old, opened, encrypted(inner, OTHER), rotating)):
            for key in (keys.thread_id(f"thread {count + n}"), b"c%03d" % (count * 7 % 20)):
                model[key] = b"put by %d in %d" % (n, count)
                store.write(lambda writer, key=key: writer.put(key, model[key]))
            deleted = next(iter(model))
            del model[deleted]
            assert store.write(lambda writer, deleted=deleted: writer.delete(deleted))
            assert everything(store) == model
    assert both > 5
    assert everything(rotating) == everything(encrypted(inner, OTHER)) == model
    with pytest.raises(WrongKeyError):
        everything(old)


def test_rotation_leaves_no_value_of_the_old_data_key(inner: KeyValueStore) -> None:
    store, old = fill(inner), encrypted(inner, KEY)
    (before,) = data_keys(store)
    for _ in steps(store, OTHER):
        if len(data_keys(store)) > 1:
            old.write(lambda writer: writer.put(b"a", b"put during the rotation"))
            assert before != stored(store)[b"a"][:2], (
                "a writer with the old user key must use the new data key"
            )
    (after,) = data_keys(store)
    assert before != after
    assert list(encrypted(inner, OTHER).keyring.data_keys) == [1]
    for use in (
        lambda: everything(old),
        lambda: old.write(lambda writer: None),
    ):
        with pytest.raises(WrongKeyError):
            use()
    assert everything(store) == {**VALUES, b"a": b"put during the rotation"}


def test_snapshot_opened_before_a_rotation_remains_readable(path: Path) -> None:
    inner = LmdbStore.open(path, sync="off")
    store = fill(inner)
    from tests.kv.processes import in_thread

    with store.read() as reader:
        rows = reader.range(b"", b"\xff")
        first = next(rows)
        in_thread(lambda: rotate(store, OTHER) and None)
        assert dict([first, *rows]) == VALUES
        assert reader.get(b"k001") == b""
        assert reader.get(keys.thread_id("thread 1")) == b"a thread"
    assert everything(store) == VALUES
    inner.close()


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_interrupted_rotation_is_finished_by_the_next_call(key: bytes) -> None:
    for count in range(1, 40):
        inner = MemoryStore()
        with ExitStack() as stack:
            pending = steps(fill(inner), OTHER)
            stack.callback(pending.close)  # type: ignore[attr-defined]
            for _ in range(count):
                if next(pending, "end") == "end":
                    break
        try:
            store = encrypted(inner, key)
        except WrongKeyError:
            assert key == KEY
            assert count > 9
            break
        assert everything(store) == VALUES
        rotate(store, OTHER)
        assert len(data_keys(store)) == 1
        assert everything(encrypted(inner, OTHER)) == VALUES
        with pytest.raises(WrongKeyError):
            encrypted(inner, KEY)


def test_step_may_run_again_after_an_aborted_transaction() -> None:
    class Twice(MemoryStore):
        def write(self, apply: Any) -> Any:
            def undone(writer: Writer) -> None:
                apply(writer)
                raise KeyError

            with pytest.raises(KeyError):
                super().write(undone)
            return super().write(apply)

    inner = Twice()
    store = fill(inner)
    rotate(store, OTHER)
    assert everything(encrypted(inner, OTHER)) == VALUES
    assert len(data_keys(store)) == 1


def test_rotation_to_a_third_key_is_refused_until_the_first_is_finished() -> None:
    inner = MemoryStore()
    pending = steps(fill(inner), OTHER)
    next(pending)
    store = encrypted(inner, OTHER)
    for key in (THIRD, KEY):
        with pytest.raises(UsageError, match="being rotated"):
            rotate(store, key)
    rotate(store, OTHER)
    rotate(store, THIRD)
    assert everything(encrypted(inner, THIRD)) == VALUES


def test_two_rotations_to_the_same_key_work_together() -> None:
    inner = MemoryStore()
    one, two = steps(fill(inner), OTHER), steps(encrypted(inner, KEY), OTHER)
    ended = set()
    while len(ended) < 2:
        ended |= {each for each in (one, two) if next(each, "end") == "end"}
    store = encrypted(inner, OTHER)
    assert everything(store) == VALUES
    assert len(data_keys(store)) == 1
    assert list(store.keyring.data_keys) == [1]


@pytest.mark.parametrize("again", [OTHER, THIRD])
@pytest.mark.parametrize("left", [2, 5, 8])
def test_late_rotation_does_not_finish_a_newer_one(again: bytes, left: int) -> None:
    inner = MemoryStore()
    late, store = steps(fill(inner), OTHER), encrypted(inner, KEY)
    for _ in range(left):
        next(late)
    rotate(store, OTHER)
    other = steps(store, again)
    next(other)
    next(other)
    for _ in late:
        assert everything(store) == VALUES
    for _ in other:
        assert everything(store) == VALUES
    store = encrypted(inner, again)
    assert everything(store) == VALUES
    assert list(store.keyring.data_keys) == [2]


def test_rotation_to_the_same_key_renews_the_data_key() -> None:
    inner = MemoryStore()
    store = fill(inner)
    before = store.keyring.data_keys[0]
    rotate(store, KEY)
    store = encrypted(inner, KEY)
    assert everything(store) == VALUES
    assert [before] != list(store.keyring.data_keys.values())
    assert len(store.keyring.slots) == 1


def test_data_key_ids_wrap_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_BATCH_VALUES", 1000)
    inner = MemoryStore()
    store = fill(inner)
    for count in range(260):
        rotate(store, (KEY, OTHER)[count % 2])
    store = encrypted(inner, OTHER)
    assert everything(store) == VALUES
    assert list(store.keyring.data_keys) == [260 - 256]


def test_key_function_is_called_again_after_a_rotation() -> None:
    inner = MemoryStore()
    store = fill(inner)
    kept, asked = [KEY], []

    def ask() -> bytes:
        with inner.read():  # raises inside a transaction
            asked.append(1)
        return kept[0]

    other = encrypted(inner, ask)
    pending = steps(store, OTHER)
    next(pending)
    assert everything(other) == VALUES
    assert asked == [1]
    for _ in pending:
        pass
    with pytest.raises(WrongKeyError):
        everything(other)
    kept[0] = OTHER
    assert everything(other) == VALUES
    other.write(lambda writer: writer.put(b"a", b"b"))
    assert asked == [1, 1, 1]


def test_saver_with_both_keys_reads_throughout_a_rotation() -> None:
    inner = MemoryStore()
    store, other = fill(inner), encrypted(inner, [OTHER, KEY])
    for _ in steps(store, OTHER):
        assert everything(other) == VALUES
    other.write(lambda writer: writer.put(b"a", b"b"))
    assert everything(store)[b"a"] == b"b"


def test_damaged_records_do_not_stop_a_rotation() -> None:
    inner = MemoryStore()
    store = fill(inner)
    damaged, planted = (
        keys.checkpoint(keys.NamespaceRef(1, 0), "003"),
        keys.checkpoint(keys.NamespaceRef(1, 0), "004"),
    )
    value = stored(store)[damaged]
    record = envelope.seal(planted, envelope.pack(b"mine", None))
    inner.write(lambda writer: writer.put(damaged, value[:-1] + bytes((value[-1] ^ 1,))))
    inner.write(lambda writer: writer.put(planted, record))
    rotate(store, OTHER)
    for key, error in ((damaged, DamagedError), (planted, PlaintextRecordError)):
        with store.read() as reader, pytest.raises(error):
            reader.get(key)
    store.write(lambda writer: [writer.delete(damaged), writer.delete(planted)])
    assert everything(store) == {k: v for k, v in VALUES.items() if k not in (damaged, planted)}


def test_read_only_store_is_not_rotated(path: Path) -> None:
    inner = LmdbStore.open(path, sync="off")
    fill(inner)
    store = encrypted(LmdbStore.open(path, sync="off", readonly=True))
    with pytest.raises(ReadOnlyError):
        rotate(store, OTHER)
    assert everything(encrypted(inner, KEY)) == VALUES
    store.close()
    inner.close()


def test_step_is_limited_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_BATCH_VALUES", 1000)
    monkeypatch.setattr(rotation, "_BATCH_BYTES", 1000)
    inner = MemoryStore()
    store = encrypted(inner)
    for n in range(10):
        store.write(lambda writer, n=n: writer.put(b"c%d" % n, b"v" * 600))
    assert rotate(store, OTHER) == 1 + 5 + 1
