"""A checkpoint and its pending writes in one commit, as migrations store them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import empty_checkpoint

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import SerializationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
METADATA: Any = {"source": "loop", "step": 1, "parents": {}}


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[LmdbSaver]:
    with LmdbSaver(tmp_path / "store", sync="off") as opened:
        yield opened


def checkpoint(number: int, values: dict[str, Any]) -> Any:
    versions = dict.fromkeys(values, number)
    return {
        **empty_checkpoint(),
        "id": f"{number:08d}",
        "channel_values": values,
        "channel_versions": versions,
    }


def messages(name: str, count: int) -> list[AIMessage]:
    return [AIMessage(f"{name} {number} " * 40, id=f"{name} {number}") for number in range(count)]


def stored(saver: LmdbSaver, config: Any) -> Any:
    found = saver.get_tuple(config)
    assert found is not None
    return found.checkpoint, found.metadata, found.parent_config, saver.writes(config)


def test_one_commit_stores_what_two_calls_store(saver: LmdbSaver, tmp_path: Path) -> None:
    kv = type(saver._session.kv)
    with LmdbSaver(tmp_path / "other", sync="off") as other:
        config: Any = AT
        for number in (1, 2, 3):
            values = {"messages": messages("a", 10 * number), "x": number}
            item = checkpoint(number, values)
            calls: Any = [
                ("one", "~1", [("messages", values["messages"][-2:]), ("x", None)]),
                ("one", "~1", [("__interrupt__", "why")]),
                ("two", "~0", [("x", "y" * 100_000)]),
            ]
            config_of_other = other.put(config, item, METADATA, item["channel_versions"])
            for task_id, path, writes in calls:
                other.put_writes(config_of_other, writes, task_id, path)
            with mock.patch.object(kv, "write", autospec=True, side_effect=kv.write) as write:
                config = saver._put_with_writes(
                    config, item, METADATA, item["channel_versions"], calls
                )
            assert write.call_count == 1
            assert config == config_of_other
            assert stored(saver, config) == stored(other, config)
        assert [info.state for info in saver.threads()] == [info.state for info in other.threads()]
        assert saver.stats().bytes <= 1.02 * other.stats().bytes
    assert saver.verify().ok


def test_a_checkpoint_is_replaced_by_one_whose_writes_have_its_old_values(
    saver: LmdbSaver,
) -> None:
    old, new = messages("old", 40), messages("new", 40)
    config = saver.put(AT, checkpoint(1, {"messages": old}), METADATA, {"messages": 1})
    for other in (new, old, new):
        writes = [("messages", old[5:]), ("messages", new)]
        item = checkpoint(1, {"messages": other})
        calls: Any = [(f"task {other is old}", "", writes)]
        assert saver._put_with_writes(AT, item, METADATA, {"messages": 1}, calls) == config
        found = saver.get_tuple(config)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"messages": other}
        assert [write.value for write in saver.writes(config)][-2:] == [old[5:], new]
    assert saver.verify().ok


def test_nothing_is_stored_if_a_write_cannot_be_serialized(saver: LmdbSaver) -> None:
    item = checkpoint(1, {"x": 1})
    calls: Any = [("task", "", [("x", lambda: None)])]
    with pytest.raises(SerializationError):
        saver._put_with_writes(AT, item, METADATA, {"x": 1}, calls)
    assert saver.get_tuple(AT) is None
    assert saver.threads() == []
