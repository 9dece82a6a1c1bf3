"""A write that is prepared again stores the arguments as they were at the call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability
from tests.saver.same import rebuilt, same
from tests.saver.values import checkpoint, words

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


def _messages() -> list[Any]:
    made: list[Any] = [HumanMessage(words(n, 30), id=f"{n}") for n in range(20)]
    made.append(AIMessage(words(3, 4000), id="long", additional_kwargs={"deep": [1]}))
    return made


VALUES: dict[str, Callable[[], Any]] = {
    "short": lambda: ["short"],
    "map": lambda: {"a": words(1, 40), "b": [words(2, 400)]},
    "messages": _messages,
    "one message": lambda: HumanMessage(words(1, 50), id="1", additional_kwargs={"deep": [1]}),
    "message with more": lambda: [HumanMessage("x", id="1", additional_kwargs={"s": {1, 2}})],
}


def spoil(value: Any) -> None:
    """Change a value in place."""
    if isinstance(value, list):
        for one in value:
            spoil(one)
        value.append(HumanMessage("spoiled", id="s") if len(value) > 1 else "spoiled")
    elif isinstance(value, dict):
        for one in value.values():
            spoil(one)
        value["spoiled"] = True
    elif isinstance(value, HumanMessage | AIMessage):
        value.content = "spoiled"
        spoil(value.additional_kwargs)


def spoil_during(call: Callable[[], Awaitable[Any]], *given: Any) -> None:
    """Change the arguments once the call waits for the store."""

    async def both() -> None:
        task = asyncio.ensure_future(call())
        await asyncio.sleep(0)
        assert not task.done()
        for one in given:
            spoil(one)
        await task

    asyncio.run(both())


def at(checkpoint_id: str) -> Any:
    return {"configurable": {**ROOT["configurable"], "checkpoint_id": checkpoint_id}}


values = pytest.mark.parametrize("make", VALUES.values(), ids=VALUES.keys())


@values
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("cache_size", [1, 1 << 26])
def test_values_changed_before_a_retry_are_not_stored(
    make: Callable[[], Any], known: bool, cache_size: int
) -> None:
    """Another saver prunes the thread, so the cached parent is stale."""
    kv = MemoryStore()
    saver, other = KvSaver(kv, cache_size=cache_size), KvSaver(kv)
    saver.put(ROOT, checkpoint("1", 1, "before"), {}, {"x": 1})
    parent = saver.put(at("1"), checkpoint("2", 2, make() if known else 0), {}, {"x": 2})
    other.prune(["t"])
    value, metadata = make(), {"source": "loop", "note": ["note"]}
    made = checkpoint("3", 3, value)
    made["versions_seen"] = {"node": {"x": 2}}
    handed_over = rebuilt(value)
    spoil_during(
        lambda: saver.aput(parent, made, metadata, {"x": 3}),
        *(value, metadata["note"], made["versions_seen"], made["channel_versions"]),
    )
    found = KvSaver(kv).get_tuple(ROOT)
    assert found is not None
    assert same(found.checkpoint["channel_values"], {"x": handed_over})
    assert found.checkpoint["channel_versions"] == {"x": 3}
    assert found.checkpoint["versions_seen"] == {"node": {"x": 2}}
    assert found.metadata["note"] == ["note"]
    reachability.check(kv)


@values
@pytest.mark.parametrize("known", [True, False])
def test_writes_changed_before_a_retry_are_not_stored(make: Callable[[], Any], known: bool) -> None:
    """Another saver replaces the checkpoint of the writes."""
    kv = MemoryStore()
    saver, other = KvSaver(kv), KvSaver(kv)
    saver.put(ROOT, checkpoint("1", 1, make() if known else 0), {}, {"x": 1})
    other.put(ROOT, checkpoint("1", 1, "after"), {}, {"x": 1})
    value = make()
    handed_over = rebuilt(value)
    spoil_during(lambda: saver.aput_writes(at("1"), [("x", value)], "task"), value)
    found = KvSaver(kv).get_tuple(ROOT)
    assert found is not None
    assert same(found.pending_writes, [("task", "x", handed_over)])
    reachability.check(kv)
