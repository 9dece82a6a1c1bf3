"""A thread with damaged records can be deleted. The rest of the store is unchanged."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import envelope, keys
from tests.encryption.stores import encrypted, everything
from tests.engine import reachability, stores
from tests.reliability.checking import content
from tests.verification.damage import Original, flipped, store_of

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore

pytestmark = pytest.mark.faults

ORIGINAL = Original()
THREADS = ["a", "copy", "fork", "pruned", "early", stores.LONG]


def number_of(thread: str) -> int:
    name = keys.thread_id(thread)
    return keys.read_number(envelope.unseal(name, ORIGINAL.records[name]), 0)[0]


def keys_of(thread: str) -> list[bytes]:
    """Return the keys of a thread's records, without chunks, which other threads may share."""
    number = number_of(thread)
    prefixes = (keys.thread_number(number), keys.namespaces(number))
    chunks = keys.of_thread(b"d", number)
    return [
        key
        for key in sorted(ORIGINAL.records)
        if key == keys.thread_id(thread)
        or (key.startswith(prefixes) and not key.startswith(chunks))
    ]


def assert_deletes(kv: KeyValueStore, thread: str) -> None:
    """Delete the thread with a new saver, and check that nothing else changes."""
    saver = KvSaver(kv, clock=stores.Clock())
    saver.delete_thread(thread)
    expected = {key: found for key, found in ORIGINAL.content.items() if key[0] != thread}
    assert content(saver) == expected
    assert saver.verify().problems == ()
    reachability.check(kv)
    stores.grow(saver, thread, 1, 3)
    assert saver.verify().ok


@pytest.mark.parametrize("thread", THREADS, ids=lambda thread: thread[:6])
def test_thread_with_one_damaged_record_is_deleted(thread: str) -> None:
    for key in keys_of(thread):
        damaged = {key: flipped(ORIGINAL.records[key], Random(2))}
        assert_deletes(store_of({**ORIGINAL.records, **damaged}), thread)


@pytest.mark.parametrize("thread", THREADS, ids=lambda thread: thread[:6])
def test_thread_with_only_its_name_readable_is_deleted(thread: str) -> None:
    name = keys.thread_id(thread)
    damaged = {key: flipped(ORIGINAL.records[key], Random(3)) for key in keys_of(thread)}
    assert_deletes(store_of({**ORIGINAL.records, **damaged, name: ORIGINAL.records[name]}), thread)


def test_thread_without_its_record_is_deleted() -> None:
    """The record has the times and counts of the thread."""
    left = {k: v for k, v in ORIGINAL.records.items() if k != keys.thread_number(number_of("a"))}
    assert_deletes(store_of(left), "a")


def test_unidentifiable_thread_is_not_deleted() -> None:
    """Neither the name nor the record of the thread is readable."""
    unreadable = (keys.thread_id("a"), keys.thread_number(number_of("a")))
    damaged = {key: flipped(ORIGINAL.records[key], Random(4)) for key in unreadable}
    kv = store_of({**ORIGINAL.records, **damaged})
    before = everything(kv)
    with pytest.raises(DamagedError):
        KvSaver(kv, clock=stores.Clock()).delete_thread("a")
    assert everything(kv) == before


def test_damaged_thread_of_an_encrypted_store_is_deleted() -> None:
    kv = encrypted(store_of({}))
    saver = stores.fill(kv)
    key = keys.checkpoint(keys.NamespaceRef(number_of("copy"), 0), "0003")
    kv.write(lambda writer: writer.put(key, b"no record"))
    saver = KvSaver(kv, clock=stores.Clock())
    with pytest.raises(DamagedError):
        saver.get_tuple(stores.config("copy", "", "0003"))
    saver.delete_thread("copy")
    assert saver.verify().ok
    assert {info.thread_id for info in saver.threads()} >= {"a", "fork"}


def test_damage_that_the_purge_meets() -> None:
    """The thread is large: it is hidden before the purge meets the damage."""
    kv = store_of({})
    saver = KvSaver(kv, clock=stores.Clock())
    stores.grow(saver, "large", 1, 600)
    stores.grow(saver, "small", 1, 3)
    key = keys.checkpoint(keys.NamespaceRef(1, 0), "0599")
    kv.write(lambda writer: writer.put(key, b"no record"))
    saver.delete_thread("large")
    assert [info.thread_id for info in saver.threads()] == ["small"]
    assert saver.verify().problems == ()
