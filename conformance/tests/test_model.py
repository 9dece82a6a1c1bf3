"""The model, in cases that are not obvious."""

from __future__ import annotations

from typing import Any

import pytest

from saver_conformance.metadata import merged_metadata
from saver_conformance.model import Key, Model


def _at(thread: str = "t", ns: str = "", identifier: str | None = None) -> dict[str, Any]:
    where = {"thread_id": thread, "checkpoint_ns": ns}
    return {"configurable": where if identifier is None else {**where, "checkpoint_id": identifier}}


def _put(model: Model, identifier: str, parent: str | None = None, **options: Any) -> None:
    ns, metadata = options.pop("ns", ""), options.pop("metadata", {})
    checkpoint = {"id": identifier, "channel_values": options.pop("values", {})}
    model.put(_at("t", ns, parent), checkpoint, metadata)


def test_writes_are_ordered_by_path_task_and_number() -> None:
    model = Model()
    _put(model, "1")
    model.put_writes(_at("t", "", "1"), [("c", n) for n in range(11)], "b", "p")
    model.put_writes(_at("t", "", "1"), [("c", "late"), ("__error__", "e")], "a", "q")
    entry = model.get(_at())
    assert entry is not None
    assert [w[2] for w in entry.writes] == [*range(11), "e", "late"]


def test_regular_write_is_kept_and_special_write_is_replaced() -> None:
    model = Model()
    _put(model, "1")
    for number in range(2):
        model.put_writes(_at("t", "", "1"), [("c", number), ("__resume__", number)], "task")
    entry = model.get(_at())
    assert entry is not None
    assert entry.writes == [("task", "__resume__", 1), ("task", "c", 0)]


def test_keep_latest_deletes_calls_of_pruned_checkpoints_only() -> None:
    model = Model()
    _put(model, "1")
    _put(model, "2", "1")
    _put(model, "1", ns="call:old", metadata={"parents": {"": "1"}})
    _put(model, "1", ns="call:new", metadata={"parents": {"": "2"}})
    _put(model, "1", ns="persistent", metadata={"parents": {"": "1"}})
    model.prune(["t"])
    assert {(k.ns, k.id) for k in model.stored()} == {
        ("", "2"),
        ("call:new", "1"),
        ("persistent", "1"),
    }
    kept = model.get(_at())
    assert kept is not None
    assert kept.parent is None


def test_delta_channel_keeps_its_history_after_pruning() -> None:
    model = Model()
    for number in "123":
        counters = {"counters_since_delta_snapshot": {"log": [1, 1]}}
        _put(model, number, str(int(number) - 1) if number > "1" else None, metadata=counters)
        model.put_writes(_at("t", "", number), [("log", number)], "task")
    before = model.history(_at(), ["log"])
    model.prune(["t"])
    assert model.ids("t", "") == ["3"]
    assert model.history(_at(), ["log"]) == before
    assert [w[2] for w in before["log"]["writes"]] == ["1", "2"]


def test_cycle_of_parents_ends() -> None:
    model = Model()
    _put(model, "1", "2")
    _put(model, "2", "1")
    assert model.history(_at("t", "", "2"), ["log"]) == {"log": {"writes": []}}


def test_thread_holds_writes_before_their_checkpoint() -> None:
    model = Model()
    assert not model.holds("t")
    model.put_writes(_at("t", "", "1"), [("c", 1)], "task")
    assert model.holds("t")
    assert not model.holds("other")
    model.delete_thread("t")
    assert not model.holds("t")


def test_reader_owns_the_returned_values() -> None:
    model = Model()
    _put(model, "1", values={"a": [1]})
    first = model.get(_at())
    assert first is not None
    first.checkpoint["channel_values"]["a"].append(2)
    second = model.get(_at())
    assert second is not None
    assert second.checkpoint["channel_values"] == {"a": [1]}


def test_metadata_includes_scalars_of_the_config_without_ids() -> None:
    config = {
        "configurable": {"thread_id": "t", "user": "u\0", "__private": 1, "deep": {}},
        "metadata": {"source": "mine", "tenant": 7},
    }
    merged = merged_metadata(config, {"source": "loop"})
    assert merged == {"source": "loop", "tenant": 7, "user": "u"}


def test_string_of_threads_and_unknown_strategy_are_rejected() -> None:
    model = Model()
    _put(model, "1")
    with pytest.raises(TypeError, match="sequence"):
        model.prune("t")
    with pytest.raises(ValueError, match="strategy must be"):
        model.prune(["t"], strategy="all")
    assert list(model.stored()) == [Key("t", "", "1")]
