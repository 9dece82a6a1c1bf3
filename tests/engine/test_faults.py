"""A transaction that fails at any operation changes nothing, and the next one works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import HumanMessage

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import StoreIOError
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability
from tests.saver.values import checkpoint, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
FIRST: Any = {"configurable": {**ROOT["configurable"], "checkpoint_id": "1"}}


class FaultyWriter(Writer):
    """A writer that raises an error at one of its operations."""

    def __init__(self, inner: Writer, store: FaultyStore) -> None:
        self._inner = inner
        self._store = store

    def _step(self) -> None:
        self._store.steps += 1
        if self._store.steps == self._store.fails_at:
            raise StoreIOError("the disk does not respond")

    def get(self, key: bytes) -> bytes | None:
        self._step()
        return self._inner.get(key)

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        self._step()
        yield from self._inner.range(start, stop, reverse=reverse)

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        self._step()
        yield from self._inner.keys(start, stop, reverse=reverse)

    def put(self, key: bytes, value: bytes) -> None:
        self._step()
        self._inner.put(key, value)

    def delete(self, key: bytes) -> bool:
        self._step()
        return self._inner.delete(key)

    def delete_range(self, start: bytes, stop: bytes) -> int:
        self._step()
        return self._inner.delete_range(start, stop)


class FaultyStore(KeyValueStore):
    """A store in memory whose n-th operation of a writer fails."""

    readonly = False

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.steps = self.fails_at = 0

    def read(self) -> Any:
        return self.inner.read()

    def write(self, apply: Callable[[Writer], Any]) -> Any:
        self.steps = 0
        return self.inner.write(lambda writer: apply(FaultyWriter(writer, self)))

    def size(self) -> int:
        return 0

    def close(self) -> None:
        self.inner.close()

    def records(self) -> dict[bytes, bytes]:
        with self.read() as reader:
            return dict(reader.range(b"", b"\xff" * 512))


def prepared_store() -> tuple[FaultyStore, LmdbSaver]:
    """Return a store with a thread of three checkpoints and a copy of the thread."""
    store = FaultyStore()
    saver = KvSaver(store, clock=lambda: 1.0)
    parent = ROOT
    for n in range(1, 4):
        value = [HumanMessage(words(salt, 60)) for salt in range(3 * n)]
        parent = saver.put(parent, checkpoint(str(n), n, value), {"run_id": f"r{n % 2}"}, {"x": n})
        saver.put_writes(parent, [("d", words(n, 50)), ("__resume__", words(n))], "task")
    saver.copy_thread("t", "copied")
    return store, saver


CALLS: dict[str, Callable[[LmdbSaver], Any]] = {
    "put": lambda s: s.put(FIRST, checkpoint("2a", 9, words(9, 3000)), {}, {"x": 9}),
    "replace": lambda s: s.put(ROOT, checkpoint("2", 9, words(9, 3000)), {}, {"x": 9}),
    "new thread": lambda s: s.put(
        {"configurable": {"thread_id": "new", "checkpoint_ns": "n"}},
        checkpoint("1", 1, words(5, 3000)),
        {"run_id": "r1"},
        {"x": 1},
    ),
    "writes": lambda s: s.put_writes(FIRST, [("__resume__", words(8, 90)), ("y", 1)], "task"),
    "delete": lambda s: s.delete_thread("t"),
    "prune": lambda s: s.prune(["t"]),
    "runs": lambda s: s.delete_for_runs(["r1"]),
    "copy": lambda s: s.copy_thread("t", "other"),
}


def all_checkpoints(saver: LmdbSaver) -> list[Any]:
    """Return all checkpoints that the saver lists."""
    return [(one.config, one.parent_config, one.checkpoint) for one in saver.list(None)]


@pytest.mark.parametrize("call", [*CALLS])
def test_failed_call_changes_nothing_and_can_be_repeated(call: str) -> None:
    """Each operation of the transaction fails once. The repeated call has the same result."""
    whole, saver = prepared_store()
    CALLS[call](saver)
    expected = all_checkpoints(saver)
    for step in range(1, 400):
        store, saver = prepared_store()
        before = store.records()
        store.fails_at = step
        try:
            CALLS[call](saver)
        except StoreIOError:
            assert store.records() == before or call == "runs"  # one transaction per thread
        else:
            break
        reachability.check(store)
        store.fails_at = 0
        CALLS[call](saver)
        reachability.check(store)
        assert all_checkpoints(saver) == expected
    else:
        pytest.fail("the call never succeeded")
    assert step > 3
    assert store.records() == whole.records()
