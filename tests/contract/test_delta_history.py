"""Contract of `get_delta_channel_history`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from tests.contract.driver import SaverDriver, config, fresh_thread, put

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import LmdbSaver


def step(
    driver: SaverDriver, cid: str, parent: str | None, seed: Any = None, **options: Any
) -> None:
    """Put a checkpoint of a DeltaChannel `log`, with or without a snapshot, and a pending write."""
    options = {"ns": "", "thread": "t", **options}
    content = {} if seed is None else {"log": seed}
    put(driver, cid, content, parent=parent, versions={"log": cid}, **options)
    driver.put_writes(config(options["thread"], options["ns"], cid), [("log", cid)], "task")


def history(driver: SaverDriver, cid: str | None) -> dict[str, Any]:
    return dict(driver.delta_history(config(id=cid), ["log"])["log"])


def test_history_without_a_seed_has_the_writes_of_all_ancestors(driver: SaverDriver) -> None:
    """The oldest write is first. The target's own writes are omitted."""
    for cid, parent in [("c1", None), ("c2", "c1"), ("c3", "c2")]:
        step(driver, cid, parent)
    assert history(driver, "c3") == {"writes": [("task", "log", "c1"), ("task", "log", "c2")]}
    assert history(driver, None) == history(driver, "c3")
    assert history(driver, "c1") == {"writes": []}


def test_history_ends_at_the_nearest_stored_value(driver: SaverDriver) -> None:
    """The history has the seed and the writes of the seed's checkpoint."""
    step(driver, "c1", None, seed=_DeltaSnapshot(["old"]))
    step(driver, "c2", "c1", seed=_DeltaSnapshot(["seed"]))
    step(driver, "c3", "c2")
    step(driver, "c4", "c3", seed=_DeltaSnapshot(["target"]))
    assert history(driver, "c4") == {
        "writes": [("task", "log", "c2"), ("task", "log", "c3")],
        "seed": _DeltaSnapshot(["seed"]),
    }


@pytest.mark.parametrize("seed", [[], 0, "", False, ["plain"]], ids=repr)
def test_plain_value_is_a_seed(driver: SaverDriver, seed: Any) -> None:
    """A thread may be older than its DeltaChannel. False values are seeds too."""
    put(driver, "c0", {"log": ["older"]})
    put(driver, "c1", {"log": seed}, parent="c0")
    driver.put_writes(config(id="c1"), [("log", "w")], "task")
    step(driver, "c2", "c1")
    assert history(driver, "c2") == {"writes": [("task", "log", "w")], "seed": seed}


def test_stored_none_is_a_seed(driver: SaverDriver) -> None:
    put(driver, "c0", {"log": ["older"]})
    put(driver, "c1", {"log": None}, parent="c0")
    step(driver, "c2", "c1")
    assert history(driver, "c2") == {"writes": [], "seed": None}


def test_history_follows_parents_and_not_the_order_of_ids(driver: SaverDriver) -> None:
    step(driver, "z", None, seed=_DeltaSnapshot(["seed"]))
    step(driver, "b", "z")
    step(driver, "c", "z")  # a fork beside b
    step(driver, "a", "b")
    step(driver, "d", "c")
    assert [value for _, _, value in history(driver, "a")["writes"]] == ["z", "b"]
    assert [value for _, _, value in history(driver, "d")["writes"]] == ["z", "c"]


def test_inherited_value_is_a_seed(driver: SaverDriver) -> None:
    """The seed is the value of the nearest ancestor that has one, wherever it was stored."""
    put(driver, "c1", {"log": ["seed"]}, versions={"log": 1})
    driver.put_writes(config(id="c1"), [("log", "older")], "task")
    put(driver, "c2", {}, parent="c1", versions={"log": 1}, new={})
    driver.put_writes(config(id="c2"), [("log", "newer")], "task")
    put(driver, "c3", {}, parent="c2", versions={"log": 2})
    assert history(driver, "c3") == {"writes": [("task", "log", "newer")], "seed": ["seed"]}


def test_loop_of_parents_ends_the_history(driver: SaverDriver) -> None:
    """A checkpoint was put again as a child of its descendant."""
    step(driver, "c1", None)
    step(driver, "c2", "c1")
    step(driver, "c3", "c2")
    put(driver, "c1", {}, parent="c3", versions={"log": "c1"})
    assert [value for _, _, value in history(driver, "c3")["writes"]] == ["c1", "c2"]
    put(driver, "c9", {}, parent="c9", versions={"log": "c9"})
    assert history(driver, "c9") == {"writes": []}


def test_missing_parent_ends_the_history(driver: SaverDriver) -> None:
    step(driver, "c2", "never")
    step(driver, "c3", "c2")
    assert history(driver, "c3") == {"writes": [("task", "log", "c2")]}
    assert history(driver, "absent") == {"writes": []}
    assert driver.delta_history(config("missing"), ["log"]) == {"log": {"writes": []}}


def test_writes_of_a_step_are_in_the_order_of_tasks(driver: SaverDriver) -> None:
    """The order is `(task_path, task_id, idx)`, with `idx` as a number."""
    put(driver, "c1", {}, versions={"log": 1})
    for task, path in [("a", "~2"), ("b", "~1")]:
        driver.put_writes(config(id="c1"), [("log", f"{task}{n}") for n in range(12)], task, path)
    put(driver, "c2", {}, parent="c1", versions={"log": 2})
    expected = [f"{task}{n}" for task in "ba" for n in range(12)]
    assert [value for _, _, value in history(driver, "c2")["writes"]] == expected


def test_each_channel_has_its_own_seed(driver: SaverDriver) -> None:
    """An unknown channel has no writes."""
    put(driver, "c1", {"a": ["seed a"]})
    driver.put_writes(config(id="c1"), [("a", 1), ("b", 2)], "task")
    put(driver, "c2", {"b": ["seed b"]}, parent="c1", versions={"a": 2, "b": 2})
    driver.put_writes(config(id="c2"), [("b", 3), ("a", 4)], "task")
    put(driver, "c3", {}, parent="c2", versions={"a": 3, "b": 3})
    assert driver.delta_history(config(id="c3"), ["a", "b", "c"]) == {
        "a": {"writes": [("task", "a", 1), ("task", "a", 4)], "seed": ["seed a"]},
        "b": {"writes": [("task", "b", 3)], "seed": ["seed b"]},
        "c": {"writes": []},
    }
    assert driver.delta_history(config(id="c3"), []) == {}


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.booleans(), st.booleans(), st.integers(0, 2)), max_size=10
    ),
    st.data(),
)
def test_history_equals_the_result_of_the_base_class(
    driver: SaverDriver,
    saver: LmdbSaver,
    tree: list[tuple[int, bool, bool, int]],
    data: st.DataObject,
) -> None:
    """Draw a tree of checkpoints, and compare with the base class, which uses `get_tuple`."""
    thread = fresh_thread()
    order = data.draw(st.permutations(range(len(tree))))
    names = [f"id {place}" for place in order]
    for number, (parent, seed_a, seed_b, count) in enumerate(tree):
        cid = names[number]
        content = {name: [cid] for name, stored in (("a", seed_a), ("b", seed_b)) if stored}
        put(
            driver,
            cid,
            content,
            thread=thread,
            parent=names[parent % number] if number else None,
            versions={"a": cid, "b": cid},
        )
        for task in range(count):
            sent = [("a", (cid, task)), ("b", (cid, task))]
            driver.put_writes(config(thread, id=cid), sent, f"{task}", f"~{9 - task}")
    for cid in names:
        at = config(thread, id=cid)
        expected = BaseCheckpointSaver.get_delta_channel_history(
            saver, config=at, channels=["a", "b"]
        )
        assert driver.delta_history(at, ["a", "b"]) == expected
