"""Stores with every kind of record, for checks and repairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import HumanMessage
from pydantic import RootModel

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.saver.values import words

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.engine.options import StoreOptions
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore

NOW = 1_750_000_000.0
LONG = "i" * 300


class Nothing(RootModel[str | None]):
    """A model that JsonPlusSerializer reads back as None if it holds None."""


class Clock:
    """A clock that advances by 50 ms with each call."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        self.now += 0.05
        return self.now


def options() -> StoreOptions:
    """Return the options of a store, for checks and repairs without a saver."""
    return KvSaver(MemoryStore(), clock=Clock())._session.options


def config(thread: str, namespace: str = "", checkpoint: str | None = None) -> Any:
    """Return the config of a thread, or of a checkpoint."""
    ref = {"thread_id": thread, "checkpoint_ns": namespace}
    return {"configurable": ref if checkpoint is None else {**ref, "checkpoint_id": checkpoint}}


def put(saver: LmdbSaver, at: Any, checkpoint_id: str, values: dict[str, Any], **more: Any) -> Any:
    """Store a checkpoint with a new version of each channel. The channel `delta` has no value."""
    versions = {channel: f"{n}.{checkpoint_id}" for n, channel in enumerate([*values, "delta"])}
    checkpoint: Any = {
        "v": 4,
        "id": checkpoint_id,
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": values,
        "channel_versions": versions,
        "versions_seen": {"node": {"x": 1}},
        "updated_channels": None,
    }
    metadata: Any = {"source": "loop", "step": len(checkpoint_id), "user_id": "u", **more}
    return saver.put(at, checkpoint, metadata, versions)


def grow(saver: LmdbSaver, thread: str, start: int, stop: int, namespace: str = "") -> None:
    """Put checkpoints after the latest, each with one more message and with pending writes."""
    found = saver.get_tuple(config(thread, namespace))
    at = config(thread, namespace) if found is None else found.config
    values: dict[str, Any] = {} if found is None else dict(found.checkpoint["channel_values"])
    for n in range(start, stop):
        values = {
            "messages": [*values.get("messages", []), HumanMessage(words(n, 60), id=f"m{n}")],
            "blob": bytes([n % 256]) * 900 + words(n, 30).encode(),
            "lines": [words(i, 40) for i in range(n * 3)],
            "n": n,
        }
        at = put(saver, at, f"{n:04}", values, run_id=f"{thread}-run-{n // 3}")
        writes = [("delta", [n, thread]), ("big", words(n, 200))]
        saver.put_writes(at, writes, f"task-{n}", "~path")
        saver.put_writes(at, [("delta", [words(n, 150)])], f"other-{n}")


def put_edited_list(saver: LmdbSaver, thread: str) -> None:
    """Store a long list with edits everywhere, so that it needs nodes."""
    lines = [words(i, 9) for i in range(1150)]
    at = config(thread)
    for n in range(50):
        lines[n * 711 % len(lines)] = words(n, 10)
        at = put(saver, at, f"{n:02}", {"lines": [*lines]})


def fill(kv: KeyValueStore) -> LmdbSaver:
    """Fill an empty store with every kind of record."""
    saver = KvSaver(kv, clock=Clock())
    grow(saver, "a", 1, 8)
    grow(saver, "a", 1, 4, "sub:1")
    grow(saver, "a", 1, 3, "keeps")
    saver.copy_thread("a", "copy")
    grow(saver, "copy", 8, 10)
    saver.fork(config("a", "", "0004"), "fork")
    grow(saver, "fork", 5, 7)
    saver.copy_thread("fork", "copy of fork")
    grow(saver, "pruned", 1, 9)
    saver.prune(["pruned"], keep_last=3)
    grow(saver, "deleted", 1, 5)
    saver.copy_thread("deleted", "copy of deleted")
    saver.delete_thread("deleted")
    grow(saver, LONG, 1, 4)
    put(saver, config(LONG, LONG), LONG, {"x": "y" * 2000})
    put(saver, config(LONG, LONG, LONG), f"{LONG}2", {"x": "y" * 2000})
    saver.put_writes(config(LONG, LONG, LONG), [("x", "z" * 2000)], LONG)
    saver.put_writes(config("early", "", "0001"), [("x", "z" * 2000)], "task")
    put_edited_list(saver, "edited")
    saver.set_ttl("copy", 60.0)
    branch = {"n": "another branch", "none": None, "nothing": Nothing(None)}
    put(saver, config("a", "", "0003"), "0003b", branch)
    fill_layers(saver)
    return saver


def fill_layers(saver: LmdbSaver) -> None:
    """Store a line of checkpoints, with forks and copies that show all or a part."""
    grow(saver, "line", 1, 5)
    root = saver.get_tuple(config("line"))
    assert root is not None
    call = {"parents": {"": root.config["configurable"]["checkpoint_id"]}}
    at = put(saver, config("line", "call:1"), "0004-1", {"x": words(1, 300)}, **call)
    saver.put_writes(at, [("x", words(2, 300))], "task")
    grow(saver, "line", 5, 8)
    saver.fork(config("line", "", "0005"), "part")
    saver.put_writes(config("part", "", "0005"), [("delta", [words(3, 200)])], "task-5")
    saver.put_writes(config("part", "", "0005"), [("delta", [words(4, 200)])], "new")
    grow(saver, "part", 6, 8)
    saver.fork(config("part", "", "0006"), "part of part")
    saver.copy_thread("line", "copy of line")
    grow(saver, "line", 8, 9)
