"""Records of threads are decoded once, and an entry of the cache is never wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.engine import thread_record, threads
from langgraph.checkpoint.lmdb.engine.fields_cache import FieldsCache
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.saver.values import checkpoint, config

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.engine.thread_record import Thread
    from langgraph.checkpoint.lmdb.kv.base import Writer


def put(saver: Any, thread_id: str, checkpoint_id: str) -> Any:
    return saver.put(config(thread_id, ""), checkpoint(checkpoint_id, 1, "a"), {}, {"x": 1})


def found(kv: MemoryStore, thread_id: str) -> Thread:
    with kv.read() as reader:
        thread = threads.find(reader, thread_id)
    assert thread is not None
    return thread


def test_saved_thread_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    saver = KvSaver(MemoryStore())
    put(saver, "t", "1")
    decoded: list[bytes] = []
    decode = thread_record._decode

    def counting(key: bytes, record: bytes) -> Thread:
        decoded.append(key)
        return decode(key, record)

    monkeypatch.setattr(thread_record, "_decode", counting)
    stored = put(saver, "t", "2")
    saver.put_writes(stored, [("x", 1)], "task")
    assert saver.get_tuple(stored) is not None
    assert decoded == []


def test_damaged_record_of_a_known_thread_is_refused() -> None:
    kv = MemoryStore()
    saver = KvSaver(kv)
    put(saver, "t", "1")
    key = keys.thread_number(found(kv, "t").number)

    def damage(writer: Writer) -> None:
        record = bytearray(writer.get(key) or b"")
        record[-1] ^= 1
        writer.put(key, bytes(record))

    kv.write(damage)
    with pytest.raises(DamagedError):
        saver.get_tuple(config("t", ""))


def test_thread_of_another_store_with_the_same_number_is_not_mixed_up() -> None:
    stores = {name: MemoryStore() for name in ("one", "two")}
    for name, kv in stores.items():
        put(KvSaver(kv), name, name)
    assert len({found(kv, name).number for name, kv in stores.items()}) == 1
    for _ in range(2):
        assert [found(kv, name).id for name, kv in stores.items()] == ["one", "two"]


def test_change_of_a_decoded_thread_changes_no_other() -> None:
    kv = MemoryStore()
    saver = KvSaver(kv)
    put(saver, "t", "1")
    for n in range(2):
        thread = found(kv, "t")
        assert thread.shared_owners == []
        thread.shared_owners.append(n)
        thread.checkpoints += 7
    assert found(kv, "t").checkpoints == 1


def test_change_of_a_saved_thread_changes_no_later_one() -> None:
    kv = MemoryStore()
    put(KvSaver(kv), "t", "1")

    def save(writer: Writer) -> None:
        thread = threads.find(writer, "t")
        assert thread is not None
        threads.save(writer, thread)
        thread.shared_owners.append(1)

    kv.write(save)
    assert found(kv, "t").shared_owners == []


def test_cache_holds_at_most_its_limit() -> None:
    cache = FieldsCache(2)
    for n in range(5):
        cache.put(b"%d" % n, b"record", (n,))
    kept = [n for n in range(5) if cache.get(b"%d" % n, b"record") is not None]
    assert 4 in kept
    assert len(kept) <= 2
    assert cache.get(b"4", b"another record") is None
