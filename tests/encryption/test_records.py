"""Stored records of an encrypted store: what they reveal, and how changed ones are detected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.encryption.key_source import HEADER
from langgraph.checkpoint.lmdb.errors import DamagedError, FormatVersionError, PlaintextRecordError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv import MAX_KEY_SIZE, MemoryStore
from langgraph.checkpoint.lmdb.kv.memory import MemoryReader
from langgraph.checkpoint.lmdb.kv.prefixed import PrefixedStore
from tests.encryption.stores import KEY, encrypted, everything, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore
    from langgraph.checkpoint.lmdb.kv import KeyValueStore, Writer

THREAD = keys.thread_id("thread of ada")
SPACE = keys.namespace(7, "space of ada")
MEMBER = b"r" + keys.hash64("run of ada") + b"1f0-checkpoint\x00\x01\x07\x00"
CHECKPOINT = keys.checkpoint(keys.NamespaceRef(7, 0), "1f0-checkpoint")
RECORDS = {
    THREAD: b"the name is ada",
    SPACE: b"a namespace of ada",
    MEMBER: b"",
    CHECKPOINT: b"a value of ada" * 10,
}
SECRETS = (b"of ada", b"name is ada", keys.hash64("run of ada"))
"""Parts of the records' keys and values, too long to occur in a ciphertext by chance."""


def record(key: bytes) -> bytes:
    return envelope.seal(key, envelope.pack(RECORDS[key], None)) if RECORDS[key] else b""


def fill(store: KeyValueStore) -> None:
    for key in RECORDS:
        store.write(lambda writer, key=key: writer.put(key, record(key)))


def put_raw(store: EncryptedStore, key: bytes, value: bytes | None) -> None:
    """Put or delete a stored record, below the encryption."""
    if value is None:
        store.inner.write(lambda writer: writer.delete(key))
    else:
        store.inner.write(lambda writer: writer.put(key, value))


def get(store: KeyValueStore, key: bytes) -> bytes | None:
    with store.read() as reader:
        return reader.get(key)


def name_of(store: EncryptedStore, key: bytes) -> bytes:
    return store.keyring.names.stored(key)


@pytest.mark.parametrize("prefix", [b"", keys.Kind.SNAPSHOTS])
def test_stored_records_reveal_no_name_and_no_hash(store: EncryptedStore, prefix: bytes) -> None:
    fill(PrefixedStore(store, prefix))
    found = stored(store)
    assert len(found) == len(RECORDS)
    for key, value in found.items():
        for secret in SECRETS:
            assert secret not in key
            assert secret not in value
    assert prefix + CHECKPOINT in found, (
        "checkpoint ids are stored as they are, because they define the order"
    )


def test_equal_values_have_different_ciphertexts(store: EncryptedStore) -> None:
    seen = set()
    for _ in range(20):
        store.write(lambda writer: writer.put(b"c", b"the same"))
        seen.add(stored(store)[b"c"])
    assert len(seen) == 20


def test_equal_names_differ_between_kinds_and_stores() -> None:
    store, other = encrypted(MemoryStore()), encrypted(MemoryStore())
    names = {
        name_of(each, key)[-32:]
        for each in (store, other)
        for key in (keys.thread_id("ada"), keys.namespace(1, "ada"), keys.namespace(2, "ada"))
    }
    assert len(names) == 6


def test_names_of_similar_lengths_have_equal_stored_lengths() -> None:
    names = encrypted(MemoryStore()).keyring.names
    assert len({len(names.stored(b"T" + b"x" * size)) for size in range(16)}) == 1


@pytest.mark.parametrize("key", [THREAD, SPACE, CHECKPOINT])
def test_any_changed_byte_of_a_value_is_detected(key: bytes) -> None:
    store = encrypted(MemoryStore())
    fill(store)
    name = name_of(store, key)
    whole = stored(store)[name]
    changed = [whole[:at] + bytes((whole[at] ^ 4,)) + whole[at + 1 :] for at in range(len(whole))]
    for value in (*changed, whole[:-1], whole + b"\x00", whole[:31], whole[:17], b"\x01", b"xyz"):
        put_raw(store, name, value)
        with pytest.raises(DamagedError) as caught:
            get(store, key)
        assert caught.value.record == key.hex()
        with store.read() as reader, pytest.raises(DamagedError):
            list(reader.range(key, key + b"\x00"))


def test_record_moved_to_another_key_is_refused(store: EncryptedStore) -> None:
    fill(store)
    for key in (THREAD, SPACE, CHECKPOINT):
        for other in (THREAD, SPACE, CHECKPOINT, keys.checkpoint(keys.NamespaceRef(7, 0), "2")):
            if key == other:
                continue
            found = stored(store)
            put_raw(store, name_of(store, other), found[name_of(store, key)])
            with pytest.raises(DamagedError):
                get(store, other)
            put_raw(store, name_of(store, other), found.get(name_of(store, other)))


def test_record_of_another_store_with_the_same_key_is_refused(store: EncryptedStore) -> None:
    fill(store)
    other = encrypted(MemoryStore())
    fill(other)
    put_raw(store, CHECKPOINT, stored(other)[CHECKPOINT])
    with pytest.raises(DamagedError):
        get(store, CHECKPOINT)


def test_older_record_under_its_own_key_is_not_detected(store: EncryptedStore) -> None:
    """Encryption cannot detect a replay; the documentation says so."""
    fill(store)
    old = stored(store)[CHECKPOINT]
    store.write(lambda writer: writer.put(CHECKPOINT, b"new"))
    put_raw(store, CHECKPOINT, old)
    assert get(store, CHECKPOINT) == record(CHECKPOINT)


@pytest.mark.parametrize("key", [THREAD, SPACE, CHECKPOINT])
def test_plaintext_record_is_refused(store: EncryptedStore, key: bytes) -> None:
    for name in {key, name_of(store, key)}:
        put_raw(store, name, record(key))
        with pytest.raises(PlaintextRecordError) as caught:
            get(store, key)
        assert caught.value.record == key.hex()
        with store.read() as reader, pytest.raises(PlaintextRecordError):
            list(reader.range(key[:1], keys.prefix_end(key[:1])))
        put_raw(store, name, None)
    assert get(store, key) is None


@pytest.mark.parametrize("key", [THREAD, SPACE, MEMBER])
def test_changed_key_does_not_decrypt_but_is_listed_and_deletable(
    store: EncryptedStore, key: bytes
) -> None:
    fill(store)
    name = name_of(store, key)
    wrong = name[:12] + bytes((name[12] ^ 1,)) + name[13:]
    put_raw(store, wrong, stored(store)[name])
    put_raw(store, name, None)
    assert get(store, key) is None
    with store.read() as reader:
        assert list(reader.keys(key[:1], keys.prefix_end(key[:1]))) == [wrong]
        with pytest.raises(DamagedError, match="key does not decrypt"):
            reader.get(wrong)
    assert store.write(lambda writer: writer.delete(wrong))
    assert wrong not in stored(store)


@pytest.mark.parametrize("prefix", [b"T", b"n\x07", b"r", b"m"])
@pytest.mark.parametrize("reverse", [False, True])
def test_iteration_over_encrypted_names_follows_changes(
    store: EncryptedStore, prefix: bytes, reverse: bool
) -> None:
    names = [prefix + bytes((letter,)) * 8 for letter in b"bdfhj"]

    def apply(writer: Writer) -> list[bytes]:
        for name in names:
            writer.put(name, name)
        seen = []
        for key, value in writer.range(prefix, keys.prefix_end(prefix), reverse=reverse):
            assert key == value
            seen.append(key[-1:])
            if key == names[2]:
                for letter in (b"a", b"e", b"g", b"k"):
                    writer.put(prefix + letter * 8, prefix + letter * 8)
                writer.delete(names[1])
                writer.delete(names[3])
        return seen

    forward, backward = [b"b", b"d", b"f", b"g", b"j", b"k"], [b"j", b"h", b"f", b"e", b"b", b"a"]
    assert store.write(apply) == (backward if reverse else forward)


@pytest.mark.parametrize("reverse", [False, True])
def test_range_with_any_bounds_within_an_index_term(store: EncryptedStore, reverse: bool) -> None:
    names = [b"r" + term * 8 + end for term in (b"a", b"b") for end in (b"1", b"3", b"5")]
    store.write(lambda writer: [writer.put(name, b"") for name in names])
    bounds = [*names, b"r" + b"a" * 8, b"r" + b"a" * 8 + b"2", b"r" + b"b" * 7 + b"c", b"s", b"r"]
    with store.read() as reader:
        for start in bounds:
            for stop in bounds:
                expected = sorted((n for n in names if start <= n < stop), reverse=reverse)
                assert list(reader.keys(start, stop, reverse=reverse)) == expected


def test_first_key_of_a_thread_is_found_without_reading_other_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = encrypted(MemoryStore())
    for number in range(50):
        for name in ("a", "b"):
            key = keys.namespace(number, name)
            store.write(lambda writer, key=key: writer.put(key, b"x"))
    seen = []
    inner_keys = MemoryReader.keys

    def counted(self: MemoryReader, *args: Any, **options: Any) -> Iterator[bytes]:
        for key in inner_keys(self, *args, **options):
            seen.append(key)
            yield key

    monkeypatch.setattr(MemoryReader, "keys", counted)
    with store.read() as reader:
        assert next(iter(reader.keys(keys.namespaces(7), b"o"))) == keys.namespace(7, "a")
        assert next(iter(reader.keys(b"n", b"o", reverse=True))) == keys.namespace(49, "b")
    assert len(seen) <= 6
    monkeypatch.undo()


def test_longest_stored_keys_are_within_the_limit() -> None:
    names = encrypted(MemoryStore()).keyring.names
    last = (1 << 64) - 1
    for text in ("\x00" * 180, "\x00" * 500, "x" * 180, "x" * 500):
        for key in (
            keys.thread_id(text),
            keys.namespace(last, text),
            keys.with_term(b"a label", text, keys.NamespaceRef(last, last)),
            keys.thread_with_term(b"a label", last),
        ):
            for plain in (key, keys.Kind.SNAPSHOTS + key):
                assert names.plain(names.stored(plain)) == plain
                assert len(names.stored(plain)) <= MAX_KEY_SIZE


def test_any_changed_byte_of_the_header_is_detected(store: EncryptedStore) -> None:
    fill(store)
    whole = everything(store.inner)[HEADER]
    for at in range(len(whole)):
        put_raw(store, HEADER, whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        with pytest.raises(DamagedError):
            get(store, CHECKPOINT)
        with pytest.raises(DamagedError):
            encrypted(store.inner)
    put_raw(store, HEADER, None)
    with pytest.raises(DamagedError, match="missing"):
        get(store, CHECKPOINT)


@pytest.mark.parametrize(
    "fields",
    [
        [1, []],
        [1, None],
        [1, [[b"", b"", b""]]],
        [1, [[b"s" * 16, b"c" * 16, b"n" * 12, "text"]]],
        [1, [[b"s" * 16, b"c" * 16, b"n" * 12, b"sealed"]] * 3],
        [1],
        [],
        7,
        {"1": 2},
        None,
        ["1", []],
    ],
)
def test_header_with_unexpected_fields_is_refused(fields: object) -> None:
    inner = MemoryStore()
    payload = envelope.pack(envelope.encode(fields), None)
    inner.write(lambda writer: writer.put(HEADER, envelope.seal(HEADER, payload)))
    with pytest.raises(DamagedError):
        encrypted(inner)


def test_header_slot_that_fits_but_does_not_decrypt_is_refused(store: EncryptedStore) -> None:
    slot = store.keyring.slots[0]
    row = (slot.salt, slot.check, slot.nonce, slot.wrapped[:-1] + bytes([slot.wrapped[-1] ^ 1]))
    payload = envelope.pack(envelope.encode((1, [row])), None)
    put_raw(store, HEADER, envelope.seal(HEADER, payload))
    with pytest.raises(DamagedError, match="do not decrypt"):
        encrypted(store.inner, KEY)


def test_newer_encryption_format_is_refused_with_its_number() -> None:
    inner = MemoryStore()
    payload = envelope.pack(envelope.encode((2, "something else")), None)
    inner.write(lambda writer: writer.put(HEADER, envelope.seal(HEADER, payload)))
    with pytest.raises(FormatVersionError) as caught:
        encrypted(inner)
    assert (caught.value.found, caught.value.supported) == (2, (1,))


def test_repr_shows_no_key(store: EncryptedStore) -> None:
    keyring = store.keyring
    for secret in (KEY, keyring.name_secret, *keyring.data_keys.values()):
        assert repr(secret)[2:-1] not in repr([keyring, store, store._source])


def test_header_key_is_not_accessible(store: EncryptedStore) -> None:
    assert everything(store) == {}
    for use in (
        lambda writer: writer.put(HEADER, b"x"),
        lambda writer: writer.get(HEADER),
        lambda writer: writer.delete(HEADER),
    ):
        with pytest.raises(ValueError, match="own keys"):
            store.write(use)
    assert store.write(lambda writer: writer.delete_range(b"", b"\xff")) == 0
    assert list(everything(store.inner)) == [HEADER]
