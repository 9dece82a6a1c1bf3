"""The runs of a store that need attention."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.types import interrupt

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.workflows import (
    FileLockManager,
    afind_failed_workflows,
    aget_checkpoint_status,
    aneeds_resume,
    find_failed_workflows,
    get_checkpoint_status,
)
from tests.workflows.graphs import (
    SAVERS,
    Flaky,
    at,
    fail,
    one_node,
    open_saver,
    state,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langgraph.checkpoint.base import BaseCheckpointSaver

    Saver = BaseCheckpointSaver[Any]


@pytest.fixture(params=SAVERS)
def saver(request: pytest.FixtureRequest) -> Iterator[Saver]:
    with open_saver(request.param) as saver:
        yield saver


def test_find(saver: Saver) -> None:
    node = Flaky()
    graph = one_node(node).compile(checkpointer=saver)
    asking = one_node(lambda _: {"log": [interrupt("?")]}).compile(checkpointer=saver)
    for name in ("f1", "f2"):
        with pytest.raises(RuntimeError):
            graph.invoke({"log": []}, at(name))
    asking.invoke({"log": []}, at("w"))
    node.broken = False
    graph.invoke({"log": []}, at("c"))
    graph.invoke(None, at("f1"))

    def names(*args: Any, **options: Any) -> list[str]:
        return [each.thread_id for each in find_failed_workflows(saver, *args, **options)]

    assert names(0) == ["f2"]
    assert names(0, include_waiting=True) == ["w", "f2"]
    assert names(0, include_waiting=True, limit=1) == ["w"]
    assert names() == []  # all are younger than five minutes
    later = datetime.now(timezone.utc).timestamp() + 3600
    assert names(clock=lambda: later) == ["f2"]
    assert names(5, 0.5, clock=lambda: later) == []


def test_find_reads_only_threads_that_were_active_in_its_window() -> None:
    now = datetime.now(timezone.utc).timestamp()
    clock = [now - 100_000]
    read: list[str] = []
    with LmdbSaver(":memory:", clock=lambda: clock[0]) as saver:
        graph = one_node(Flaky()).compile(checkpointer=saver)
        for name in ("old", "new"):
            with pytest.raises(RuntimeError):
                graph.invoke({"log": []}, at(name))
            clock[0] = now
        get_tuple = saver.get_tuple

        def record(config: Any) -> Any:
            read.append(config["configurable"]["thread_id"])
            return get_tuple(config)

        saver.get_tuple = record  # type: ignore[method-assign]
        found = find_failed_workflows(saver, 0)
    assert [each.thread_id for each in found] == ["new"] == read


def test_async_twins() -> None:
    async def run() -> None:
        node = Flaky()
        with LmdbSaver(":memory:") as saver:
            graph = one_node(node).compile(checkpointer=saver, interrupt_after=["work"])
            with pytest.raises(RuntimeError):
                await graph.ainvoke({"log": []}, at())
            status = await aget_checkpoint_status("t", saver)
            assert status == get_checkpoint_status("t", saver)
            assert status is not None
            assert status == await aget_checkpoint_status("t", saver, graph=graph)
            assert await aneeds_resume("t", saver)
            assert await afind_failed_workflows(saver, 0) == [status]
            assert await aget_checkpoint_status("other", saver) is None

    asyncio.run(run())


def test_running_while_its_lock_is_held(path: Path) -> None:
    with LmdbSaver(path, sync="off") as saver:
        graph = one_node(Flaky()).compile(checkpointer=saver)
        fail(graph, {"log": []})
        locks = FileLockManager(path)
        with locks.lock("resume_workflow_t"):
            assert state(saver) == "running"
            assert find_failed_workflows(saver, 0) == []
            assert asyncio.run(afind_failed_workflows(saver, 0)) == []
        assert state(saver) == "failed"
