"""A filter on `run_id` uses the index of runs, with the same result as a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.engine import checkpoints
from langgraph.checkpoint.lmdb.kv import MemoryStore

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

IDS = [f"{number:02}" for number in range(24)]


@pytest.fixture
def saver() -> LmdbSaver:
    saver = KvSaver(MemoryStore())
    for number, checkpoint_id in enumerate(IDS):
        config: RunnableConfig = {
            "configurable": {
                "thread_id": f"thread {number % 2}",
                "checkpoint_ns": "sub" if number % 5 == 0 else "",
            }
        }
        checkpoint: Any = {
            "v": 1, "id": checkpoint_id, "ts": "", "channel_values": {}, "channel_versions": {},
            "versions_seen": {},
        }  # fmt: skip
        saver.put(config, checkpoint, {"run_id": f"run {number % 3}", "step": number % 4}, {})
    return saver


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("before", [None, {"configurable": {"checkpoint_id": "13"}}])
@pytest.mark.parametrize("more", [{}, {"step": 1}])
@pytest.mark.parametrize(
    "config",
    [
        None,
        {"configurable": {"thread_id": "thread 1"}},
        {"configurable": {"thread_id": "thread 1", "checkpoint_ns": ""}},
        {"configurable": {"thread_id": "thread 1", "checkpoint_id": "07"}},
        {"configurable": {"thread_id": "missing"}},
    ],
)
def test_index_of_runs_equals_a_comparison(
    saver: LmdbSaver, config: Any, more: Any, before: Any, limit: int | None
) -> None:
    found = saver.list(config, filter={"run_id": "run 1", **more}, before=before, limit=limit)
    compared = [
        checkpoint
        for checkpoint in saver.list(config, filter=more, before=before)
        if checkpoint.metadata["run_id"] == "run 1"
    ]
    assert [*found] == compared[:limit]


def test_filter_on_run_id_reads_no_other_runs(
    saver: LmdbSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost depends on the run and not on the store."""
    read = []
    decode = checkpoints.decode
    monkeypatch.setattr(checkpoints, "decode", lambda *args: read.append(args[0]) or decode(*args))
    forgetful = KvSaver(saver._kv, cache_size=0)
    assert len([*forgetful.list(None, filter={"run_id": "run 1"})]) == 8
    assert len(set(read)) == 8


def test_deleted_runs_are_not_found(saver: LmdbSaver) -> None:
    saver.delete_for_runs(["run 1"])
    assert [*saver.list(None, filter={"run_id": "run 1"})] == []
    assert len([*saver.list(None)]) == 16
