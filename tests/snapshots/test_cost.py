"""What a version costs: the bytes that it adds, and the records that a call reads and writes."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.kv.base import Reader
from langgraph.checkpoint.lmdb.kv.buffering import BufferingWriter
from langgraph.checkpoint.lmdb.kv.memory import MemoryReader, MemoryStore
from langgraph.checkpoint.lmdb.saver import KvSaver
from langgraph.checkpoint.lmdb.snapshots import LmdbSnapshotStore
from tests.snapshots.stores import growing, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Counted(Reader):
    """A transaction that counts the records that are read."""

    __slots__ = ()

    def get(self, key: bytes) -> bytes | None:
        COUNTS["read"] += 1
        return super().get(key)

    def range(self, *arguments: Any, **options: Any) -> Iterator[tuple[bytes, bytes]]:
        for row in super().range(*arguments, **options):
            COUNTS["read"] += 1
            yield row

    def keys(self, *arguments: Any, **options: Any) -> Iterator[bytes]:
        for key in super().keys(*arguments, **options):
            COUNTS["keys"] += 1
            yield key


class CountedReader(Counted, MemoryReader):
    """A snapshot that counts."""

    __slots__ = ()


class CountedWriter(Counted, BufferingWriter):
    """A write transaction that also counts the records and bytes that are written."""

    __slots__ = ()

    def put(self, key: bytes, value: bytes) -> None:
        COUNTS["written"] += 1
        COUNTS["bytes"] += len(key) + len(value)
        super().put(key, value)


class CountedStore(MemoryStore):
    """A store in memory that counts."""

    def read(self) -> MemoryReader:
        return CountedReader(self)

    def write(self, apply: Callable[..., Any]) -> Any:
        with self._writing, MemoryReader(self) as snapshot:
            writer = CountedWriter(snapshot)
            result = apply(writer)
            self._commit(writer.changes)
            return result


COUNTS = Counter[str]()


@pytest.fixture
def kv() -> CountedStore:
    return CountedStore()


def still() -> float:
    """Return the time, always the same: a call that comes later may move entries of an index."""
    return 1.8e9


def count(call: Callable[[], Any]) -> Counter[str]:
    """Return what a call reads and writes."""
    COUNTS.clear()
    call()
    return Counter(COUNTS)


def stored_bytes(kv: MemoryStore) -> int:
    """Return the bytes of all keys and values."""
    with kv.read() as reader:
        return sum(len(key) + len(value) for key, value in reader.range(b"", b"\xff"))


def noise(random: Random, version: int) -> dict[str, Any]:
    """Return an item of about 1 KB that does not compress well."""
    return {"step": version, "result": random.randbytes(480).hex()}


def test_growing_task_stores_its_items_and_not_its_versions(kv: CountedStore) -> None:
    """200 versions that grow by 1 KB: at most 1/20 of the bytes of whole versions."""
    random, items, whole, data = Random(1), [], 0, {}
    with KvSaver(kv, clock=still) as saver, LmdbSnapshotStore(saver, clock=still) as store:
        for version in range(1, 201):
            items.append(noise(random, version))
            data = {"step": version, "progress": version / 2, "items": items, "done": False}
            store.save(snapshot(version, data))
            whole += len(json.dumps(data))
        assert store.get("task").data == data
        used = stored_bytes(kv)
    assert used * 20 < whole
    assert used < 4 * len(json.dumps(items))


@pytest.mark.parametrize("where", ["front", "middle", "end"])
def test_saved_bytes_do_not_grow_with_the_data(kv: CountedStore, where: str) -> None:
    random = Random(2)
    written = []
    with KvSaver(kv, clock=still) as saver, LmdbSnapshotStore(saver, clock=still) as store:
        items: list[Any] = []
        for version in range(1, 301):
            at = {"front": 0, "middle": len(items) // 2, "end": len(items)}[where]
            items.insert(at, noise(random, version))
            new = snapshot(version, {"a": {"items": items}, "step": version})
            written.append(count(lambda new=new: store.save(new)))
    for late in written[-50:]:
        assert late["bytes"] < 12_000
        assert late["written"] <= 12
    early, late = sum(w["bytes"] for w in written[50:100]), sum(w["bytes"] for w in written[-50:])
    assert late < 2 * early


def test_unchanged_data_are_not_stored_again(kv: CountedStore) -> None:
    data = growing(100)
    with KvSaver(kv, clock=still) as saver, LmdbSnapshotStore(saver, clock=still) as store:
        store.save(snapshot(1, data))
        for version in (2, 3, 500):
            new = snapshot(version, data)
            assert count(lambda new=new: store.save(new))["bytes"] < 1000


def test_versions_share_data_after_the_store_was_opened_again(kv: CountedStore) -> None:
    with KvSaver(kv, clock=still) as saver:
        for version in range(60, 64):
            new = snapshot(version, growing(version))
            with LmdbSnapshotStore(saver, clock=still) as store:
                cost = count(lambda store=store, new=new: store.save(new))
                assert version == 60 or cost["bytes"] < 6000
        for version in (59, 61):  # below all others, and once more
            new = snapshot(version, growing(version))
            with LmdbSnapshotStore(saver, clock=still) as store:
                assert count(lambda store=store, new=new: store.save(new))["bytes"] < 6000


@pytest.mark.parametrize("cache_size", [0, 1 << 20])
def test_latest_version_costs_the_same_after_10_and_1000_versions(
    kv: CountedStore, cache_size: int
) -> None:
    costs = []
    with KvSaver(kv, clock=still) as saver, LmdbSnapshotStore(saver, clock=still) as filler:
        for version in range(1, 1001):
            filler.save(snapshot(version, {"step": version, "text": "x" * 3000}))
            if version in (10, 1000):
                with LmdbSnapshotStore(saver, cache_size=cache_size, clock=still) as store:
                    costs.append(count(lambda store=store: store.get("task")))
                    assert costs[-1] == count(lambda store=store: store.get("task", 5)) + Counter(
                        keys=1
                    )
    assert costs[0] == costs[1]
    assert costs[0]["read"] + costs[0]["keys"] <= 8


def test_list_of_versions_reads_their_keys_only(kv: CountedStore) -> None:
    with KvSaver(kv, clock=still) as saver, LmdbSnapshotStore(saver, clock=still) as store:
        for version in range(1, 101):
            store.save(snapshot(version, growing(3)))
        cost = count(lambda: store.list_versions("task"))
    assert cost == Counter(read=2, keys=100)


def test_save_reads_the_same_after_10_and_300_versions(kv: CountedStore) -> None:
    costs = []
    with KvSaver(kv, clock=still) as saver, LmdbSnapshotStore(saver, clock=still) as store:
        for version in range(1, 301):
            new = snapshot(version, {"step": version})
            cost = count(lambda new=new: store.save(new))
            if version in (10, 300):
                costs.append(cost["read"] + cost["keys"])
    assert costs[0] == costs[1] <= 12


def test_delete_and_replacement_read_each_record_at_most_twice(kv: CountedStore) -> None:
    """Versions share most of their nodes. A shared node is not read once per version."""
    random, items = Random(3), []
    with KvSaver(kv, clock=still) as saver, LmdbSnapshotStore(saver, clock=still) as store:
        for version in range(1, 401):
            items.append(noise(random, version))
            store.save(snapshot(version, {"step": version, "items": items}))
        with kv.read() as reader:
            records = sum(1 for _ in reader.keys(b"", b"\xff"))
        again = snapshot(200, {"step": 200, "items": items[:100]})
        for change in (lambda: store.delete("task", 100), lambda: store.save(again)):
            cost = count(change)
            assert cost["read"] < 2 * records
        assert saver.verify().ok
