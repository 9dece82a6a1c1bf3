"""The check that a store is sound accepts sound stores."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.base import empty_checkpoint

from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from langgraph.checkpoint.lmdb.saver import KvSaver
from tests.engine import reachability


def test_writes_of_a_thread_are_found_whatever_its_number_is() -> None:
    """The bytes of the number 256 and of a namespace look like the end of a checkpoint's id."""
    kv = MemoryStore()
    saver = KvSaver(kv)
    for number in range(260):
        config: Any = {"configurable": {"thread_id": f"t{number}", "checkpoint_ns": ""}}
        saver.put(config, empty_checkpoint(), {}, {})
        config["configurable"]["checkpoint_ns"] = "sub"
        config = saver.put(config, empty_checkpoint(), {}, {})
        saver.put_writes(config, [("channel", number)], "task")
    reachability.check(kv)
