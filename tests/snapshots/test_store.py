"""What a snapshot store does: the answers of ASAP's SQLite store, and errors for invalid calls."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import math
import pickle
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import (
    DeserializationError,
    NotCopyableError,
    SerializationError,
    StoreClosedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.snapshots import (
    AsyncLmdbSnapshotStore,
    LmdbSnapshotStore,
    StateSnapshot,
)
from tests.snapshots.stores import TIME, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_snapshot_reads_back_as_it_was_saved(store: Any) -> None:
    saved = snapshot(3, {"a": [1, 2.5, None, True], "b": {"c": "d"}}, checkpoint=True)
    store.save(saved)
    assert store.get("task") == store.get("task", 3) == saved
    assert store.get("task").created_at.utcoffset() == TIME.utcoffset()


def test_latest_is_the_highest_version_whatever_was_saved_last(store: Any) -> None:
    for version in (2, 10, 9, 1):
        store.save(snapshot(version))
    assert store.get("task").version == 10
    assert store.list_versions("task") == [1, 2, 9, 10]


def test_save_replaces_the_same_version(store: Any) -> None:
    store.save(snapshot(1, {"n": 1}))
    store.save(snapshot(2, {"n": 2}))
    store.save(snapshot(1, {"n": 3}, id="other", checkpoint=True))
    assert store.list_versions("task") == [1, 2]
    found = store.get("task", 1)
    assert (found.id, found.data, found.checkpoint) == ("other", {"n": 3}, True)
    assert store.get("task", 2).data == {"n": 2}


def test_delete_of_one_version_keeps_the_others(store: Any) -> None:
    for version in (1, 2, 3):
        store.save(snapshot(version, {"items": ["x" * 2000] * version}))
    assert store.delete("task", 2)
    assert not store.delete("task", 2)
    assert store.list_versions("task") == [1, 3]
    assert store.get("task", 2) is None
    assert store.get("task", 1).data == {"items": ["x" * 2000]}
    assert store.get("task", 3).data == {"items": ["x" * 2000] * 3}


def test_after_the_latest_is_deleted_the_next_lower_one_is_the_latest(store: Any) -> None:
    for version in (1, 2, 7):
        store.save(snapshot(version))
    assert store.delete("task", 7)
    assert store.get("task").version == 2
    assert store.delete("task", 2)
    assert store.delete("task", 1)
    assert store.get("task") is None
    assert store.list_versions("task") == []
    assert not store.delete("task")
    store.save(snapshot(1, {"again": True}))
    assert store.get("task").data == {"again": True}


def test_delete_of_a_task_deletes_all_its_versions_and_no_other_task(store: Any) -> None:
    for version in (1, 2):
        store.save(snapshot(version))
        store.save(snapshot(version, task_id="task-2"))
    assert store.delete("task")
    assert store.get("task") is None
    assert store.get("task", 1) is None
    assert store.list_versions("task") == []
    assert store.list_versions("task-2") == [1, 2]


def test_unknown_tasks_and_versions(store: Any) -> None:
    store.save(snapshot(5))
    for task_id, version in (
        ("", None), ("tas", None), ("task2", None), ("task", 4), ("task", 6), ("task", 0),
        ("task", -5), ("task", 1 << 63), ("task", 1 << 200),
    ):  # fmt: skip
        assert store.get(task_id, version) is None
        assert not store.delete(task_id, version)
    assert store.list_versions("unknown") == []
    assert store.list_versions("task") == [5]


def test_greatest_version_is_kept_and_a_greater_one_refused(store: Any) -> None:
    greatest = (1 << 63) - 1
    store.save(snapshot(greatest))
    store.save(snapshot(1))
    assert store.get("task").version == greatest
    with pytest.raises(UsageError, match="version must be"):
        store.save(SimpleNamespace(**{**fields(snapshot()), "version": greatest + 1}))


@pytest.mark.parametrize(
    "task_id", ["ä task", "a\x00b", "x" * 3000, "../../etc", " ", "\ud800", "0000000000000000001"]
)
def test_task_id_is_any_text(store: Any, task_id: str) -> None:
    store.save(snapshot(1, {"n": 1}, task_id))
    store.save(snapshot(1, {"n": 2}, f"{task_id}!"))
    assert store.get(task_id).data == {"n": 1}
    assert store.get(f"{task_id}!").data == {"n": 2}
    assert store.delete(task_id)
    assert store.get(f"{task_id}!").data == {"n": 2}


def test_data_of_each_reader_are_its_own(store: Any) -> None:
    data = {"items": [{"n": 1}], "text": "x" * 3000}
    made = snapshot(1, data)
    data["items"][0]["n"] = 2
    assert made.data["items"] == [{"n": 1}]
    store.save(made)
    made.data["items"].append("later")
    first = store.get("task")
    first.data["items"].clear()
    assert store.get("task").data["items"] == [{"n": 1}]
    assert store.get("task", 1).data["items"] == [{"n": 1}]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"": ""},
        {"n": 10**300, "m": -(2**70), "f": 1e-320, "z": -0.0},
        {"deep": [[[[[[[{}]]]]]]]},
        {"text": "ä € 🙂 \x00 \x7f \u2028"},
        {"surrogates": ["\ud800", "\udfff tail"]},
        {1: "int", None: "none", False: "false", 2.5: "float"},
        {"tuple": (1, (2, 3))},
        {"infinite": [math.inf, -math.inf]},
        {"long": "é" * 70_000, "longer": list(range(30_000))},
    ],
    ids=lambda data: next(iter(data), "empty"),
)
def test_data_read_back_as_json_reads_them(store: Any, data: dict[Any, Any]) -> None:
    store.save(snapshot(1, {"before": 1}))
    store.save(SimpleNamespace(**{**fields(snapshot(2)), "data": data}))
    found = store.get("task").data
    assert found == json.loads(json.dumps(data))
    assert repr(found) == repr(json.loads(json.dumps(data)))


def test_nan_reads_back_as_nan(store: Any) -> None:
    store.save(snapshot(1, {"n": math.nan}))
    assert math.isnan(store.get("task").data["n"])


def fields(made: StateSnapshot) -> dict[str, Any]:
    """Return the fields of a snapshot."""
    names = ("id", "task_id", "version", "data", "checkpoint", "created_at")
    return {name: getattr(made, name) for name in names}


INVALID = [
    ("version", 0),
    ("version", -1),
    ("version", True),
    ("version", 1.5),
    ("version", "1"),
    ("version", None),
    ("task_id", ""),
    ("task_id", None),
    ("task_id", 5),
    ("id", None),
    ("checkpoint", 1),
    ("created_at", "2026-01-01"),
    ("created_at", datetime(2026, 1, 1)),  # noqa: DTZ001
    ("data", None),
    ("data", [1]),
    ("data", "text"),
]


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_invalid_field_is_refused_by_the_class_and_by_save(
    store: Any, name: str, value: object
) -> None:
    changed = {**fields(snapshot()), name: value}
    with pytest.raises(UsageError, match=f"{name} must be"):
        StateSnapshot(**changed)
    with pytest.raises(UsageError, match=f"{name} must be"):
        store.save(SimpleNamespace(**changed))
    assert store.list_versions("task") == []


def _loop() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    return loop


def _deep() -> dict[str, Any]:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"d": deep}
    return deep


@pytest.mark.parametrize(
    "data",
    [{"s": {1}}, {"b": b"bytes"}, {"o": object()}, {(1, 2): 3}, {"t": TIME}, _loop(), _deep()],
    ids=["set", "bytes", "object", "tuple key", "datetime", "loop", "deep"],
)
def test_data_that_are_not_json_are_refused(store: Any, data: dict[Any, Any]) -> None:
    changed = {**fields(snapshot()), "data": data}
    with pytest.raises(SerializationError, match="data must be JSON-serializable"):
        StateSnapshot(**changed)
    with pytest.raises(TypeError, match="data must be JSON-serializable"):
        store.save(SimpleNamespace(**changed))
    assert store.get("task") is None


def test_object_without_the_fields_is_refused(store: Any) -> None:
    for wrong in (None, {"id": "1"}, SimpleNamespace(id="1", task_id="task")):
        with pytest.raises(UsageError, match="snapshot must be an object with the fields id, "):
            store.save(wrong)


@pytest.mark.parametrize("version", ["1", 1.0, True])
def test_version_that_is_not_a_number_is_refused(store: Any, version: Any) -> None:
    with pytest.raises(UsageError, match="version must be"):
        store.get("task", version)
    with pytest.raises(UsageError, match="version must be"):
        store.delete("task", version)


@pytest.mark.parametrize("task_id", [None, 1, b"task"])
def test_task_id_that_is_not_text_is_refused(store: Any, task_id: Any) -> None:
    for call in (store.get, store.list_versions, store.delete):
        with pytest.raises(UsageError, match="task_id must be a str"):
            call(task_id)


def test_snapshot_type_makes_what_is_returned(path: Path, store_class: Callable[..., Any]) -> None:
    with store_class(path, sync="off", snapshot_type=SimpleNamespace) as store:
        store.save(SimpleNamespace(**fields(snapshot(4))))
        found = store.get("task")
        assert type(found) is SimpleNamespace
        assert vars(found) == fields(snapshot(4))
        assert store.get("unknown") is None
    with pytest.raises(UsageError, match="snapshot_type must be a function"):
        store_class(path, snapshot_type="StateSnapshot")


def test_snapshot_type_that_refuses_a_snapshot(path: Path, store_class: Callable[..., Any]) -> None:
    def refuse(**fields: Any) -> None:
        raise KeyError("version")

    with store_class(path, sync="off", snapshot_type=refuse) as store:
        store.save(snapshot(4))
        with pytest.raises(DeserializationError, match=r"KeyError.*task_id 'task', version 4"):
            store.get("task")


def test_closed_store_refuses_every_call(path: Path, store_class: Callable[..., Any]) -> None:
    store = store_class(path, sync="off")
    store.save(snapshot())
    store.close()
    store.close()
    for call in (
        lambda: store.save(snapshot()),
        lambda: store.get("task"),
        lambda: store.list_versions("task"),
        lambda: store.delete("task"),
        lambda: store.delete("task", 1),
        store.sweep,
    ):
        with pytest.raises(StoreClosedError):
            call()


def test_store_of_a_saver_closes_alone_and_fails_with_its_saver(path: Path) -> None:
    with LmdbSaver(path, sync="off") as saver:
        store = LmdbSnapshotStore(saver)
        store.save(snapshot())
        store.close()
        with pytest.raises(StoreClosedError):
            store.get("task")
        assert saver.stats().threads == 0
        store = LmdbSnapshotStore(saver)
        assert store.get("task") == snapshot()
    with pytest.raises(StoreClosedError):
        store.get("task")
    with pytest.raises(StoreClosedError):
        LmdbSnapshotStore(saver)


def test_options_of_a_path_are_refused_with_a_saver() -> None:
    with (
        LmdbSaver(":memory:") as saver,
        pytest.raises(UsageError, match="readonly, sync must be given to the saver"),
    ):
        LmdbSnapshotStore(saver, sync="off", readonly=True)


def test_store_cannot_be_copied_or_pickled() -> None:
    with LmdbSnapshotStore(":memory:") as store:
        for make in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(NotCopyableError):
                make(store)


def test_snapshot_is_frozen_and_can_be_copied_and_pickled() -> None:
    made = snapshot(2, {"a": [1]})
    with pytest.raises(AttributeError):
        made.version = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == made


def test_methods_of_the_async_store_are_coroutine_functions() -> None:
    names = ("save", "get", "list_versions", "delete", "sweep", "close")
    for name in names:
        assert inspect.iscoroutinefunction(getattr(AsyncLmdbSnapshotStore, name))
        assert not inspect.iscoroutinefunction(getattr(LmdbSnapshotStore, name))
        one, other = (
            inspect.signature(getattr(cls, name))
            for cls in (AsyncLmdbSnapshotStore, LmdbSnapshotStore)
        )
        assert one == other


def test_async_store_is_an_async_context_manager(path: Path) -> None:
    async def use() -> AsyncLmdbSnapshotStore:
        async with AsyncLmdbSnapshotStore(path, sync="off") as store:
            await asyncio.gather(*(store.save(snapshot(version)) for version in range(1, 51)))
            assert await store.list_versions("task") == [*range(1, 51)]
            large = snapshot(51, {"text": "x" * 1_000_000})
            await store.save(large)
            assert await store.get("task") == large
        return store

    store = asyncio.run(use())
    with pytest.raises(StoreClosedError):
        asyncio.run(store.get("task"))


def test_cancelled_save_is_whole_or_absent_and_later_reads_agree(path: Path) -> None:
    async def use() -> None:
        async with AsyncLmdbSnapshotStore(path, sync="off") as store:
            for version in range(1, 30):
                saving = asyncio.ensure_future(store.save(snapshot(version)))
                await asyncio.sleep(0)
                saving.cancel()
                await asyncio.gather(saving, return_exceptions=True)
                found = await store.get("task", version)
                assert found in (None, snapshot(version))
                assert (version in await store.list_versions("task")) == (found is not None)

    asyncio.run(use())


TIMES = (
    "2026-01-01T00:00:00+00:00",
    "1969-12-31T23:59:59.000001-11:30",
    "9999-12-31T23:59:59+14:00",
)


def test_times_of_any_zone_read_back_equal(store: Any) -> None:
    for version, text in enumerate(TIMES, 1):
        store.save(snapshot(version, created_at=datetime.fromisoformat(text)))
        assert store.get("task").created_at.isoformat() == text
    store.save(snapshot(9, created_at=datetime.now(timezone.utc)))
