"""Copies and forks share records: their cost does not depend on the length of the thread, and any
change of one thread leaves the others as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.engine import layers, threads
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability, stores
from tests.reliability.checking import assert_sound, content
from tests.saver.values import checkpoint, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.lmdb.format import keys
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader


class CountingReader:
    """A reader or writer that counts the keys it reads."""

    def __init__(self, inner: Any, store: CountingStore) -> None:
        self._inner = inner
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get(self, key: bytes) -> bytes | None:
        self._store.reads += 1
        found: bytes | None = self._inner.get(key)
        return found

    def range(self, *bounds: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        for row in self._inner.range(*bounds, reverse=reverse):
            self._store.reads += 1
            yield row

    def keys(self, *bounds: bytes, reverse: bool = False) -> Iterator[bytes]:
        for key in self._inner.keys(*bounds, reverse=reverse):
            self._store.reads += 1
            yield key


class CountingStore(MemoryStore):
    """A store that counts the keys that writers read."""

    reads = 0

    def write(self, apply: Any) -> Any:
        return super().write(lambda writer: apply(CountingReader(writer, self)))


def line(saver: LmdbSaver, thread: str, count: int) -> None:
    """Put a line of checkpoints with pending writes."""
    at = stores.config(thread)
    for n in range(1, count + 1):
        state = checkpoint(f"{n:05}", n, [words(i, 30) for i in range(n % 9 + 3)])
        at = saver.put(at, state, {"step": n, "run_id": f"run {n % 2}"}, {"x": n})
        saver.put_writes(at, [("x", n)], f"task {n}")


def records(kv: KeyValueStore) -> dict[bytes, bytes]:
    with kv.read() as reader:
        return dict(reader.range(b"", b"\xff" * 512))


def layers_of(kv: KeyValueStore, thread: str) -> tuple[keys.Layer, ...]:
    def find(reader: Reader) -> tuple[keys.Layer, ...]:
        found = threads.find(reader, thread)
        return () if found is None else found.layers

    with kv.read() as reader:
        return find(reader)


@pytest.mark.parametrize("copy", [True, False], ids=["copy", "fork"])
def test_copy_of_any_length_reads_and_writes_the_same_number_of_keys(copy: bool) -> None:
    costs = []
    for count in (10, 1500):
        kv = CountingStore()
        saver = KvSaver(kv, clock=stores.Clock())
        line(saver, "a", count)
        for name in ("first", "second"):
            before, kv.reads = records(kv), 0
            if copy:
                saver.copy_thread("a", name)
            else:
                saver.fork(stores.config("a"), name)
            reads, after = kv.reads, records(kv)
            changed = {
                key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
            }
            costs.append((reads, len(changed), len(after) - len(before)))
            assert len(list(saver.list(stores.config(name)))) == count
    assert costs[:2] == costs[2:]
    assert max(costs[0][0], costs[1][0]) < 40
    assert costs[0][1] < 30


def test_forks_with_one_more_checkpoint_store_only_that_checkpoint() -> None:
    kv = MemoryStore()
    saver = KvSaver(kv, clock=stores.Clock())
    line(saver, "a", 200)
    alone = reachability.stored_bytes(kv)
    for n in range(50):
        at = saver.fork(stores.config("a"), f"fork {n}")
        state = checkpoint("99999", 201, [f"turn {n}"])
        saver.put(at, state, {"step": 201}, {"x": 201})
    assert reachability.stored_bytes(kv) - alone < 50 * 1200
    assert {len(layers_of(kv, f"fork {n}")) for n in range(50)} == {1}
    assert_sound(saver)


def test_layers_are_joined_before_they_are_too_many() -> None:
    kv = MemoryStore()
    saver = KvSaver(kv, clock=stores.Clock())
    stores.grow(saver, "a", 1, 3)
    for n in range(3, 3 + 2 * layers.MAX_LAYERS):
        saver.fork(stores.config("a"), f"fork {n}")
        stores.grow(saver, "a", n, n + 1)
        assert len(layers_of(kv, "a")) <= layers.MAX_LAYERS
    assert_sound(saver)
    for n in range(3, 3 + 2 * layers.MAX_LAYERS):
        found = saver.get_tuple(stores.config(f"fork {n}"))
        assert found is not None
        assert found.config["configurable"]["checkpoint_id"] == f"{n - 1:04}"
        saver.delete_thread(f"fork {n}")
    saver.delete_thread("a")
    with kv.read() as reader:
        assert [*reader.keys(b"\x01", b"\xff")] == []


def test_forks_of_a_thread_that_grows_copy_few_records() -> None:
    """Joining layers leaves the long ones as they are."""
    kv = MemoryStore()
    saver = KvSaver(kv, clock=stores.Clock())
    line(saver, "a", 200)
    alone = reachability.stored_bytes(kv)
    for n in range(40):
        state = checkpoint(f"9{n:04}", 201 + n, [f"turn {n}"])
        latest = saver.get_tuple(stores.config("a"))
        assert latest is not None
        saver.put(latest.config, state, {"step": 201 + n}, {"x": 201 + n})
        before = reachability.stored_bytes(kv)
        saver.fork(stores.config("a"), f"fork {n}")
        assert reachability.stored_bytes(kv) - before < alone / 4
        assert len(layers_of(kv, "a")) <= layers.MAX_LAYERS
    assert reachability.stored_bytes(kv) - alone < alone * 2
    assert_sound(saver)
    for n in range(40):
        found = saver.get_tuple(stores.config(f"fork {n}"))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"x": [f"turn {n}"]}
        assert len(list(saver.list(stores.config(f"fork {n}")))) == 201 + n
        saver.delete_thread(f"fork {n}")
    assert_sound(saver)
    assert len(list(saver.list(stores.config("a")))) == 240


THREADS = ("line", "part", "copy")


def family(kv: KeyValueStore, only: str | None = None) -> LmdbSaver:
    """Fill a store with a line, a fork and a copy, or with a single one of these threads."""
    saver = KvSaver(kv, clock=lambda: 2e9, ttl={"keep_last": 2})
    stores.grow(saver, "line", 1, 8)
    root = stores.config("line", "", "0004")
    call = {"parents": {"": "0007"}, "run_id": "line-run-1"}
    at = stores.put(saver, stores.config("line", "call:1"), "0007-1", {"x": words(1, 300)}, **call)
    saver.put_writes(at, [("x", words(2, 300))], "task")
    saver.fork(root, "part")
    saver.copy_thread("line", "copy")
    for thread in THREADS:
        if only not in (None, thread):
            saver.delete_thread(thread)
    return saver


def replace(saver: LmdbSaver, thread: str) -> None:
    before = stores.config(thread, "", "0002")
    stores.put(saver, before, "0003", {"n": "replaced", "lines": [words(1, 400)]})


CHANGES: dict[str, Callable[[LmdbSaver, str], Any]] = {
    "put": lambda s, t: stores.grow(s, t, 8, 10),
    "replace": replace,
    "branch": lambda s, t: stores.put(s, stores.config(t, "", "0002"), "0002b", {"n": 2}),
    "put writes": lambda s, t: s.put_writes(stores.config(t, "", "0004"), [("n", 1)], "new"),
    "put writes of a known task": lambda s, t: s.put_writes(
        stores.config(t, "", "0004"),
        [("delta", 1), ("big", 2), ("__error__", words(3, 400))],
        "task-4",
    ),
    "overwrite a write": lambda s, t: [
        s.put_writes(stores.config(t, "", "0003"), [("__resume__", words(n, 400))], "task-3")
        for n in range(2)
    ],
    "early writes": lambda s, t: s.put_writes(stores.config(t, "", "0090"), [("n", 1)], "new"),
    "prune": lambda s, t: s.prune([t]),
    "prune to three": lambda s, t: s.prune([t], keep_last=3),
    "delete": lambda s, t: s.delete_thread(t),
    "sweep": lambda s, t: (s.set_ttl(t, None), s.sweep()),
    "copy": lambda s, t: s.copy_thread(t, "another"),
    "fork": lambda s, t: s.fork(stores.config(t, "", "0003"), "another"),
    "fork and prune": lambda s, t: (s.fork(stores.config(t), "another"), s.prune(["another"])),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("thread", THREADS)
def test_change_of_a_thread_is_as_without_layers_and_spares_the_others(
    change: str, thread: str
) -> None:
    kv, kv_alone = MemoryStore(), MemoryStore()
    saver, alone = family(kv), family(kv_alone, thread)
    alone.prune([thread], keep_last=100)
    before = content(saver)
    for changed in (saver, alone):
        CHANGES[change](changed, thread)
        assert_sound(changed)
    after = content(saver)
    if change != "sweep":  # which keeps two checkpoints of each thread
        others = {*THREADS} - {thread}
        assert {k: v for k, v in after.items() if k[0] in others} == {
            k: v for k, v in before.items() if k[0] in others
        }
    assert {k: v for k, v in after.items() if k[0] in (thread, "another")} == content(alone)
    for rest in sorted({*THREADS, "another"} - {thread}):
        saver.delete_thread(rest)
        assert_sound(saver)
    saver.delete_thread(thread)
    assert records(kv).keys() <= {k for k in records(kv) if k[:1] == b"\x00"}


def test_delete_for_runs_finds_the_threads_that_show_a_run() -> None:
    kv = MemoryStore()
    saver = family(kv)
    saver.delete_for_runs(["line-run-2"])  # of the checkpoints from 0006 on
    assert_sound(saver)
    ids = {
        thread: [k[2] for k in content(saver) if k[0] == thread and not k[1]] for thread in THREADS
    }
    assert {thread: sorted(found) for thread, found in ids.items()} == {
        "line": ["0001", "0002", "0003", "0004", "0005"],
        "part": ["0001", "0002", "0003", "0004"],
        "copy": ["0001", "0002", "0003", "0004", "0005"],
    }
    assert layers_of(kv, "part")
    assert not layers_of(kv, "copy")


def test_other_saver_with_caches_sees_threads_as_they_are() -> None:
    kv = MemoryStore()
    one, two = (KvSaver(kv, clock=stores.Clock()) for _ in range(2))
    stores.grow(one, "a", 1, 4)
    stores.grow(two, "a", 4, 6)
    assert one.get_tuple(stores.config("a")) is not None
    two.fork(stores.config("a", "", "0004"), "b")
    stores.grow(one, "a", 6, 8)
    stores.grow(two, "b", 5, 7)
    for saver in (one, two):
        for thread, last in (("a", 7), ("b", 6)):
            found = saver.get_tuple(stores.config(thread))
            assert found is not None
            assert found.checkpoint["channel_values"]["n"] == last
    assert_sound(one)


def test_encrypted_layers_are_read_and_deleted() -> None:
    kv = open_encrypted(MemoryStore(), bytes(range(32)))
    saver = family(kv)
    found = content(saver)
    assert {key[0] for key in found} == {*THREADS}
    assert saver.verify().ok
    saver.prune(["copy"])
    saver.delete_thread("line")
    assert saver.verify().ok
    after = content(saver)
    assert {k: v for k, v in after.items() if k[0] == "part"} == {
        k: v for k, v in found.items() if k[0] == "part"
    }


def test_thread_with_branches_is_forked_by_copying() -> None:
    kv = MemoryStore()
    saver = KvSaver(kv, clock=stores.Clock())
    stores.grow(saver, "a", 1, 5)
    stores.put(saver, stores.config("a", "", "0002"), "0002b", {"n": "a branch"})
    saver.fork(stores.config("a", "", "0004"), "b")
    assert not layers_of(kv, "b")
    assert [
        found.config["configurable"]["checkpoint_id"] for found in saver.list(stores.config("b"))
    ] == [
        "0004",
        "0003",
        "0002",
        "0001",
    ]
    assert_sound(saver)
