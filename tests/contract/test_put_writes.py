"""Contract of `put_writes`."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.base import WRITES_IDX_MAP

from langgraph.checkpoint.lmdb.models import TaskWrite
from tests.contract.driver import SaverDriver, config, fresh_thread, ids, put, values, writes
from tests.stored import thread_ids

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import LmdbSaver

SPECIAL = sorted(WRITES_IDX_MAP)
NAMES = st.text("ab0129~:, ", max_size=3)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b", "~0, tools", "~1, tools"]),
        st.sampled_from(["1", "2", "10", "a", ""]),
        st.lists(st.sampled_from([*SPECIAL, "x", "y"]), max_size=13),
    ),
    max_size=6,
)


def test_writes_are_ordered_by_index_as_a_number(driver: SaverDriver) -> None:
    """Index 10 comes after 2."""
    put(driver, "c1")
    driver.put_writes(config(id="c1"), [(f"channel {n}", n) for n in range(300)], "task")
    assert [value for _, _, value in writes(driver, config())] == [*range(300)]


def test_writes_have_task_paths_and_indexes(driver: SaverDriver) -> None:
    """`writes` returns what `get_tuple` returns, with the two numbers that order it."""
    at = put(driver, "c1")
    driver.put_writes(at, [("x", 1), ("__interrupt__", "stop"), ("y", 2)], "later", "~2")
    driver.put_writes(at, [("x", 3)], "earlier", "~1")
    expected = [
        TaskWrite("earlier", "~1", 0, "x", 3),
        TaskWrite("later", "~2", -3, "__interrupt__", "stop"),
        TaskWrite("later", "~2", 0, "x", 1),
        TaskWrite("later", "~2", 2, "y", 2),
    ]
    assert driver.task_writes(at) == driver.task_writes(config()) == expected
    assert writes(driver, at) == [(one.task_id, one.channel, one.value) for one in expected]


def test_writes_before_their_checkpoint_are_returned(driver: SaverDriver) -> None:
    driver.put_writes(config(id="c1"), [("x", 1)], "task", "~1")
    assert driver.task_writes(config(id="c1")) == [TaskWrite("task", "~1", 0, "x", 1)]
    assert driver.task_writes(config(id="c2")) == driver.task_writes(config()) == []


def test_writes_of_special_channels_come_first(driver: SaverDriver) -> None:
    """Special channels have the negative indices of `WRITES_IDX_MAP`."""
    put(driver, "c1")
    driver.put_writes(config(id="c1"), [("x", 1), *((name, name) for name in SPECIAL)], "task")
    by_index = sorted(SPECIAL, key=WRITES_IDX_MAP.__getitem__)
    assert [channel for _, channel, _ in writes(driver, config())] == [*by_index, "x"]


def test_writes_are_ordered_by_task_path_before_task_id(driver: SaverDriver) -> None:
    """The order is `(task_path, task_id, idx)`, even if paths and ids disagree."""
    put(driver, "c1")
    for task, path in [("a", "~2"), ("b", "~1"), ("c", "~10"), ("d", ""), ("e", "~1")]:
        driver.put_writes(config(id="c1"), [("x", 0), ("y", 1)], task, path)
    order = [task for task, channel, _ in writes(driver, config()) if channel == "x"]
    assert order == ["d", "b", "e", "c", "a"]
    (listed,) = driver.list(config())
    assert listed.pending_writes == writes(driver, config())


@given(CALLS)
def test_writes_equal_their_model(
    driver: SaverDriver, calls: list[tuple[str, str, list[str]]]
) -> None:
    """Draw calls. The first regular write and the last special write of an index are kept."""
    thread = fresh_thread()
    put(driver, "c1", thread=thread)
    kept: dict[tuple[str, int], tuple[str, str, Any]] = {}
    for number, (path, task, channels) in enumerate(calls):
        sent = [(channel, (number, place)) for place, channel in enumerate(channels)]
        driver.put_writes(config(thread, id="c1"), sent, task, path)
        for place, (channel, value) in enumerate(sent):
            key = (task, WRITES_IDX_MAP.get(channel, place))
            if key[1] < 0 or key not in kept:
                kept[key] = (path, channel, value)
    order = sorted(kept, key=lambda key: (kept[key][0], *key))
    expected = [(key[0], *kept[key][1:]) for key in order]
    assert [(t, c, tuple(v)) for t, c, v in writes(driver, config(thread))] == expected


def test_first_regular_write_is_kept(driver: SaverDriver) -> None:
    """A repeated call adds only new indices."""
    put(driver, "c1")
    driver.put_writes(config(id="c1"), [("x", "first")], "task")
    driver.put_writes(config(id="c1"), [("x", "second"), ("y", "added")], "task")
    driver.put_writes(config(id="c1"), [("x", "other task")], "task 2")
    assert writes(driver, config()) == [
        ("task", "x", "first"),
        ("task", "y", "added"),
        ("task 2", "x", "other task"),
    ]


def test_last_special_write_is_kept(driver: SaverDriver) -> None:
    """Each write of a call follows the rule of its own channel."""
    put(driver, "c1")
    for value in ("first", "second"):
        driver.put_writes(
            config(id="c1"), [*((name, value) for name in SPECIAL), ("x", value)], "t"
        )
    got = {channel: value for _, channel, value in writes(driver, config())}
    assert got == {**dict.fromkeys(SPECIAL, "second"), "x": "first"}


def test_put_writes_without_writes_stores_nothing(driver: SaverDriver) -> None:
    put(driver, "c1")
    driver.put_writes(config(id="c1"), [], "task")
    assert writes(driver, config()) == []


def test_writes_can_be_stored_before_their_checkpoint(
    driver: SaverDriver, saver: LmdbSaver
) -> None:
    """They do not create a checkpoint."""
    driver.put_writes(config(id="c1"), [("x", 1)], "task", "path")
    assert driver.get_tuple(config()) is None
    assert driver.get_tuple(config(id="c1")) is None
    assert driver.list(config()) == []
    put(driver, "c1", {"value": 1})
    assert writes(driver, config()) == [("task", "x", 1)]
    assert thread_ids(saver) == {"t"}


def test_writes_belong_to_their_checkpoint(driver: SaverDriver) -> None:
    """Another checkpoint does not have the writes, in any thread."""
    for thread, ns in [("t", ""), ("t", "child"), ("t2", "")]:
        put(driver, "c1", thread=thread, ns=ns)
        put(driver, "c2", thread=thread, ns=ns)
    driver.put_writes(config(id="c1"), [("x", 1)], "task")
    assert writes(driver, config(id="c1")) == [("task", "x", 1)]
    for at in (config(id="c2"), config(ns="child", id="c1"), config("t2", id="c1")):
        assert writes(driver, at) == []


def test_concurrent_writes_are_all_stored(saver: LmdbSaver) -> None:
    """Of several writes with one index, exactly one is kept."""
    driver = SaverDriver(saver)
    put(driver, "c1")
    threads = 16
    together = threading.Barrier(threads)

    def write(number: int) -> None:
        together.wait()
        saver.put_writes(config(id="c1"), [("own", number), ("own", -number)], f"task {number:02}")
        saver.put_writes(config(id="c1"), [("contested", number)], "shared")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(threads)))
    got = writes(driver, config())
    assert [w for w in got if w[0] != "shared"] == [
        (f"task {n:02}", "own", value) for n in range(threads) for value in (n, -n)
    ]
    contested = [value for task, _, value in got if task == "shared"]
    assert len(contested) == 1
    assert contested[0] in range(threads)


def test_late_write_does_not_restore_a_deleted_thread(
    driver: SaverDriver, saver: LmdbSaver
) -> None:
    """`list` and `threads` do not show the late write."""
    put(driver, "c1", {"value": 1})
    put(driver, "c1", thread="other")
    driver.delete_thread("t")
    driver.put_writes(config(id="c1"), [("x", 1)], "task")
    assert driver.list(config()) == []
    assert driver.get_tuple(config(id="c1")) is None
    assert ids(driver.list(None)) == ["c1"]
    assert thread_ids(saver) == {"other"}


def test_put_writes_has_a_task_path_parameter(saver: LmdbSaver) -> None:
    """LangGraph looks for the parameter before it passes the path."""
    for method in (saver.put_writes, saver.aput_writes):
        assert inspect.signature(method).parameters["task_path"].default == ""


def test_writes_do_not_change_the_values_of_the_checkpoint(driver: SaverDriver) -> None:
    put(driver, "c1", {"x": "value"})
    driver.put_writes(config(id="c1"), [("x", "written")], "task")
    assert values(driver, config()) == {"x": "value"}
