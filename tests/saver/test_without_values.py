"""`list` and `history` with `values=False`: what they return, and what they leave unread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.run_state import run_state
from tests.views import graphs

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.base import CheckpointTuple

THREADS = ("chat", "waiting", "failed", "forked", "delta", "answered")
LARGE = "large " * 50_000


class CountingSerializer(JsonPlusSerializer):
    """A serializer that counts the bytes that it decodes."""

    decoded = 0

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        self.decoded += len(data[1])
        return super().loads_typed(data)


@pytest.fixture
def saver(path: Path) -> Any:
    with LmdbSaver(path, sync="off") as saver:
        graphs.fill(saver)
        yield saver


def state(found: CheckpointTuple) -> tuple[Any, ...]:
    """Return the state of a run, with errors and interrupts as text."""
    run = run_state(found.checkpoint, found.metadata.get("step"), found.pending_writes or ())
    return run.state, run.next, run.error, tuple(map(str, run.interrupts))


def without_values(found: CheckpointTuple) -> tuple[Any, ...]:
    checkpoint: Any = {**found.checkpoint}
    names = sorted(checkpoint.pop("channel_values"))
    writes = [write[:2] for write in found.pending_writes or ()]
    return found.config, found.parent_config, found.metadata, checkpoint, names, writes


@pytest.mark.parametrize("thread", THREADS)
def test_everything_but_values_is_as_with_values(saver: LmdbSaver, thread: str) -> None:
    config: Any = {"configurable": {"thread_id": thread}}
    for method in (saver.list, saver.history):
        light, whole = [*method(config, values=False)], [*method(config)]
        assert [*map(without_values, light)] == [*map(without_values, whole)]
        assert [*map(state, light)] == [*map(state, whole)]


@pytest.mark.parametrize("thread", THREADS)
def test_async_methods_return_the_same(saver: LmdbSaver, thread: str) -> None:
    config: Any = {"configurable": {"thread_id": thread}}

    async def collect() -> list[Any]:
        listed = [found async for found in saver.alist(config, values=False)]
        return [*listed, *[found async for found in saver.ahistory(config, values=False)]]

    expected = [*saver.list(config, values=False), *saver.history(config, values=False)]
    assert str(asyncio.run(collect())) == str(expected)


def test_large_values_are_not_decoded(path: Path) -> None:
    serde = CountingSerializer()
    with LmdbSaver(path, sync="off", serde=serde, cache_size=0) as saver:
        graphs.failed(saver, text="short")
        config: Any = {"configurable": {"thread_id": "failed", "checkpoint_ns": ""}}
        (found,) = saver.list(config, limit=1)
        values = {**found.checkpoint["channel_values"], "document": LARGE}
        versions: Any = {**found.checkpoint["channel_versions"], "document": 100}
        checkpoint: Any = {
            **found.checkpoint,
            "id": found.checkpoint["id"][:-1] + "~",
            "channel_values": values,
            "channel_versions": versions,
        }
        saved = saver.put(config, checkpoint, {}, {"document": 100})
        saver.put_writes(saved, [("document", LARGE)], "task")
        for method in (saver.list, saver.history):
            serde.decoded = 0
            light = next(iter(method(config, values=False)))
            assert light.checkpoint["channel_values"]["document"] is None
            assert light.pending_writes == [("task", "document", None)]
            assert 0 < serde.decoded < len(LARGE)
            assert next(iter(method(config))).checkpoint["channel_values"]["document"] == LARGE
            assert serde.decoded > 2 * len(LARGE)


def test_values_must_be_a_bool(saver: LmdbSaver) -> None:
    wrong: Any = "no"
    with pytest.raises(UsageError, match="values must be"):
        next(saver.list(None, values=wrong))
    with pytest.raises(UsageError, match="values must be"):
        next(saver.history(graphs.at("chat"), values=wrong))
