"""The answers of ASAP's stores (asap-protocol 2.5.10), on ours, and on ASAP's if it is installed.

The table of calls and answers runs on any Python. Where ASAP is installed, it runs on ASAP's stores
as well, so that the table is right; and both of ASAP's protocols are checked.
"""

from __future__ import annotations

import inspect
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from langgraph.checkpoint.lmdb.snapshots import (
    AsyncLmdbSnapshotStore,
    LmdbSnapshotStore,
    StateSnapshot,
)
from tests.snapshots.asap_stores import PROTOCOLS, SQLITE
from tests.snapshots.stores import TIME, Blocking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OURS: dict[str, Callable[[Path], Any]] = {
    "ours": lambda folder: LmdbSnapshotStore(folder / "store", sync="off"),
    "ours async": lambda folder: Blocking(folder / "store", sync="off"),
}


class Step(NamedTuple):
    """A call, and the answer."""

    method: str
    arguments: tuple[Any, ...]
    answer: Any


def save(version: int, data: Any = None, *, task: str = "t", **fields: Any) -> Step:
    """Return the call that saves a version."""
    given = {"id": f"{task}{version}", "checkpoint": False, **fields}
    state = {"v": version} if data is None else data
    return Step("save", (given, task, version, state), None)


def get(task: str, version: int | None, answer: tuple[int, Any] | None) -> Step:
    """Return the call that reads a version, with the version and the data that it returns."""
    return Step("get", (task, version), answer)


def versions(task: str, *answer: int) -> Step:
    """Return the call that lists versions."""
    return Step("list_versions", (task,), [*answer])


def delete(task: str, version: int | None, answer: bool) -> Step:
    """Return the call that deletes."""
    return Step("delete", (task, version), answer)


TABLE: dict[str, list[Step]] = {
    "an empty store": [
        get("t", None, None), get("t", 1, None), versions("t"),
        delete("t", None, False), delete("t", 1, False), get("", None, None), versions(""),
    ],
    "a version is saved twice": [
        save(1, {"a": 1, "b": 2}), save(2), save(1, {"a": 3}, id="second"), versions("t", 1, 2),
        get("t", 1, (1, {"a": 3})), get("t", None, (2, {"v": 2})),
    ],
    "the latest version is saved twice": [
        save(1), save(2), save(2, {"a": 3}), versions("t", 1, 2), get("t", None, (2, {"a": 3})),
    ],
    "an older version is saved after a newer one": [
        save(10), save(9), save(2), get("t", None, (10, {"v": 10})), versions("t", 2, 9, 10),
        get("t", 9, (9, {"v": 9})), get("t", 3, None),
    ],
    "the first version is not 1": [
        save(1000), get("t", None, (1000, {"v": 1000})), versions("t", 1000),
    ],
    "one version is deleted": [
        save(1), save(2), save(3), delete("t", 2, True), versions("t", 1, 3), get("t", 2, None),
        get("t", 1, (1, {"v": 1})), get("t", 3, (3, {"v": 3})), delete("t", 2, False),
    ],
    "the latest version is deleted, and then the next": [
        save(1), save(2), save(7), delete("t", 7, True), get("t", None, (2, {"v": 2})),
        delete("t", 2, True), get("t", None, (1, {"v": 1})), delete("t", 1, True),
        get("t", None, None), versions("t"), delete("t", None, False),
    ],
    "a deleted version is saved again": [
        save(1), save(2), delete("t", 2, True), save(2, {"again": 1}), versions("t", 1, 2),
        get("t", None, (2, {"again": 1})),
    ],
    "a task is deleted, and begins again": [
        save(5), save(6), save(1, task="u"), delete("t", None, True), versions("t"),
        get("t", 5, None), delete("t", None, False), get("u", None, (1, {"v": 1})),
        save(2), get("t", None, (2, {"v": 2})), versions("t", 2),
    ],
    "versions out of range": [
        save(1), get("t", 0, None), get("t", -1, None), delete("t", 0, False),
        delete("t", -1, False), versions("t", 1),
    ],
    "tasks with similar ids": [
        save(1, task="a"), save(2, task="A"), save(3, task="a "), save(4, task="a\x00"),
        save(5, task="a%"), versions("a", 1), versions("A", 2), versions("a ", 3),
        versions("a\x00", 4), versions("a%", 5), delete("a", None, True), versions("a%", 5),
    ],
    "data that JSON keeps": [
        save(1, {}), get("t", 1, (1, {})),
        save(2, {"z": None, "a": [True, 1, 1.0, -0.0, 1e300, 10**40], "": {"é\x00🙂": "\u2028"}}),
        get("t", 2, (2, {"z": None, "a": [True, 1, 1.0, -0.0, 1e300, 10**40],
                         "": {"é\x00🙂": "\u2028"}})),
        save(3, {"inf": [math.inf, -math.inf]}), get("t", 3, (3, {"inf": [math.inf, -math.inf]})),
        save(4, {"half": "\ud800"}), get("t", 4, (4, {"half": "\ud800"})),
    ],
}  # fmt: skip
"""Calls in order, and the answers of both of ASAP's stores."""
JSON_TABLE: dict[str, list[Step]] = {
    "data that JSON changes": [
        save(1, {"pair": (1, (2,)), 7: {True: 1, None: 2, 1.5: 3}}),
        get("t", 1, (1, {"pair": [1, [2]], "7": {"true": 1, "null": 2, "1.5": 3}})),
    ],
    "keys that JSON makes equal": [
        save(1, {"k": {1: "a", "1": "b"}}), get("t", 1, (1, {"k": {"1": "b"}})),
    ],
}  # fmt: skip
"""Calls in order, and the answers of ASAP's SQLite store."""


class Given:
    """An object with the fields of a snapshot."""

    def __init__(self, task: str, version: int, data: Any, **fields: Any) -> None:
        self.task_id, self.version, self.data = task, version, data
        self.created_at = TIME
        vars(self).update(fields)


def answer(store: Any, step: Step) -> Any:
    """Return the answer of a store to a call."""
    if step.method == "save":
        fields, task, version, data = step.arguments
        return store.save(Given(task, version, data, **fields))
    found = getattr(store, step.method)(*step.arguments)
    if step.method == "get" and found is not None:
        assert found.task_id == step.arguments[0]
        return found.version, found.data
    return found


def run(store: Any, steps: list[Step]) -> None:
    """Assert that a store gives the answers of a table."""
    for number, step in enumerate(steps):
        got = answer(store, step)
        assert type(got) is type(step.answer), (number, step)
        assert repr(got) == repr(step.answer), (number, step)


def opened(name: str, folder: Path) -> Any:
    """Return a new store."""
    return {**OURS, **SQLITE}[name](folder)


def close(store: Any) -> None:
    """Close a store of ours; ASAP's have no method for it."""
    if isinstance(store, (LmdbSnapshotStore, Blocking)):
        store.close()


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.parametrize("name", [*OURS, *SQLITE])
def test_answers_equal_the_answers_of_asap(name: str, case: str, tmp_path: Path) -> None:
    store = opened(name, tmp_path)
    run(store, TABLE[case])
    close(store)


@pytest.mark.parametrize("case", JSON_TABLE)
@pytest.mark.parametrize("name", [*OURS, *SQLITE])
def test_data_read_back_as_from_asaps_sqlite_store(name: str, case: str, tmp_path: Path) -> None:
    store = opened(name, tmp_path)
    run(store, JSON_TABLE[case])
    close(store)


@pytest.mark.parametrize("name", [*OURS, *SQLITE])
def test_data_are_isolated_as_in_asaps_sqlite_store(name: str, tmp_path: Path) -> None:
    store = opened(name, tmp_path)
    given = Given("t", 1, {"items": [1]}, id="1", checkpoint=True)
    store.save(given)
    given.data["items"].append(2)
    store.get("t").data["items"].append(3)
    assert store.get("t").data == {"items": [1]}
    assert store.get("t").checkpoint is True
    assert store.get("t").created_at == TIME
    close(store)


@pytest.mark.parametrize("name", [*OURS, *SQLITE])
def test_data_that_are_not_json_are_a_type_error(name: str, tmp_path: Path) -> None:
    store = opened(name, tmp_path)
    with pytest.raises(TypeError):
        store.save(Given("t", 1, {"set": {1}}, id="1", checkpoint=False))
    assert store.get("t") is None
    close(store)


@pytest.mark.parametrize("name", [*OURS, *SQLITE])
def test_version_of_more_than_63_bits_is_refused(name: str, tmp_path: Path) -> None:
    store = opened(name, tmp_path)
    with pytest.raises((OverflowError, ValueError)):
        store.save(Given("t", 1 << 63, {}, id="1", checkpoint=False))
    assert store.list_versions("t") == []
    close(store)


@pytest.mark.parametrize(
    ("cls", "protocol"),
    [(LmdbSnapshotStore, "SnapshotStore"), (AsyncLmdbSnapshotStore, "AsyncSnapshotStore")],
)
def test_stores_have_the_methods_of_asaps_protocols(cls: type[Any], protocol: str) -> None:
    """The protocols have these methods with these parameters, and nothing else."""
    expected = {
        "save": ["self", "snapshot"],
        "get": ["self", "task_id", "version"],
        "list_versions": ["self", "task_id"],
        "delete": ["self", "task_id", "version"],
    }
    for name, parameters in expected.items():
        method = getattr(cls, name)
        assert list(inspect.signature(method).parameters) == parameters
        assert inspect.iscoroutinefunction(method) == (protocol == "AsyncSnapshotStore")
    for found in [PROTOCOLS[protocol]] if PROTOCOLS else []:
        assert isinstance(cls(":memory:"), found)
        for name, parameters in expected.items():
            method = getattr(found, name)
            assert list(inspect.signature(method).parameters) == parameters
            assert inspect.iscoroutinefunction(method) == (protocol == "AsyncSnapshotStore")


def test_fields_equal_the_fields_of_asaps_snapshot() -> None:
    expected = ["id", "task_id", "version", "data", "checkpoint", "created_at"]
    assert list(inspect.signature(StateSnapshot).parameters) == expected
    for cls in [PROTOCOLS["StateSnapshot"]] if PROTOCOLS else []:
        assert list(cls.model_fields) == expected
        made = cls(id="1", task_id="t", version=3, data={"a": [1]}, created_at=TIME)
        with LmdbSnapshotStore(":memory:", snapshot_type=cls) as store:
            store.save(made)
            assert store.get("t") == made
            assert type(store.get("t")) is cls


def test_table_is_data_for_json() -> None:
    """Every answer of the table is what JSON makes of the data that were saved."""
    for steps in (*TABLE.values(), *JSON_TABLE.values()):
        saved = {}
        for step in steps:
            if step.method == "save":
                saved[step.arguments[1:3]] = json.loads(json.dumps(step.arguments[3]))
            elif step.method == "get" and step.answer is not None:
                assert repr(saved[step.arguments[0], step.answer[0]]) == repr(step.answer[1])
