"""Caches of a saver, after another saver changed the thread."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability
from tests.saver.values import checkpoint

ROOT: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
TEXT = " ".join(map(str, range(3000)))
MESSAGES = [HumanMessage(f"{i} " * 100) for i in range(50)]


@pytest.mark.parametrize("value", [TEXT, MESSAGES])
@pytest.mark.parametrize("change", ["delete", "prune", "replace"])
def test_deleted_parent_is_not_damage(value: Any, change: str) -> None:
    """The parent's value is not in the cache, so it is read again, and is missing."""
    kv = MemoryStore()
    saver, other = (KvSaver(kv, cache_size=0) for _ in range(2))
    parent = saver.put(ROOT, checkpoint("1", 1, value), {}, {"x": 1})
    if change == "delete":
        other.delete_thread("t")
    elif change == "prune":
        other.put(ROOT, checkpoint("1a", 2, "short"), {}, {"x": 2})
        other.prune(["t"])
    else:
        other.put(ROOT, checkpoint("1", 2, "short"), {}, {"x": 2})
    saver.put(parent, checkpoint("2", 3, value + value), {}, {"x": 3})
    found = saver.get(ROOT)
    assert found is not None
    assert found["channel_values"] == {"x": value + value}
    reachability.check(kv)


def test_put_writes_without_writes_creates_no_thread() -> None:
    kv = MemoryStore()
    saver = KvSaver(kv)
    saver.put_writes({"configurable": {"thread_id": "t", "checkpoint_id": "1"}}, [], "task")
    with kv.read() as reader:
        assert [*reader.keys(b"\x01", b"\xff")] == []
