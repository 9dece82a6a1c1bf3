"""The contract, "put_writes"."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.base import WRITES_IDX_MAP

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


def test_ten_and_more_writes_are_ordered_by_number(driver: SaverDriver) -> None:
    """The index is compared as a number: 10 comes after 2."""
    put(driver, "c1")
    driver.put_writes(config(id="c1"), [(f"channel {n}", n) for n in range(300)], "task")
    assert [value for _, _, value in writes(driver, config())] == [*range(300)]


def test_special_channels_come_first_by_their_indices(driver: SaverDriver) -> None:
    """The special channels have the negative indices of `WRITES_IDX_MAP`."""
    put(driver, "c1")
    driver.put_writes(config(id="c1"), [("x", 1), *((name, name) for name in SPECIAL)], "task")
    by_index = sorted(SPECIAL, key=WRITES_IDX_MAP.__getitem__)
    assert [channel for _, channel, _ in writes(driver, config())] == [*by_index, "x"]


def test_task_paths_come_before_task_ids(driver: SaverDriver) -> None:
    """`(task_path, task_id, idx)`, also where the paths' order disagrees with the ids'."""
    put(driver, "c1")
    for task, path in [("a", "~2"), ("b", "~1"), ("c", "~10"), ("d", ""), ("e", "~1")]:
        driver.put_writes(config(id="c1"), [("x", 0), ("y", 1)], task, path)
    order = [task for task, channel, _ in writes(driver, config()) if channel == "x"]
    assert order == ["d", "b", "e", "c", "a"]
    (listed,) = driver.list(config())
    assert listed.pending_writes == writes(driver, config())


@given(CALLS)
def test_any_calls_leave_what_the_rules_say(
    driver: SaverDriver, calls: list[tuple[str, str, list[str]]]
) -> None:
    """Order; first wins for regular writes and last for special ones, decided for each write."""
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


def test_the_first_regular_write_wins(driver: SaverDriver) -> None:
    """Regular writes: first wins; a repeated call adds only what is new in it."""
    put(driver, "c1")
    driver.put_writes(config(id="c1"), [("x", "first")], "task")
    driver.put_writes(config(id="c1"), [("x", "second"), ("y", "added")], "task")
    driver.put_writes(config(id="c1"), [("x", "other task")], "task 2")
    assert writes(driver, config()) == [
        ("task", "x", "first"),
        ("task", "y", "added"),
        ("task 2", "x", "other task"),
    ]


def test_the_last_special_write_wins_beside_regular_ones(driver: SaverDriver) -> None:
    """Special channels: last wins; decided per write, not per call."""
    put(driver, "c1")
    for value in ("first", "second"):
        driver.put_writes(
            config(id="c1"), [*((name, value) for name in SPECIAL), ("x", value)], "t"
        )
    got = {channel: value for _, channel, value in writes(driver, config())}
    assert got == {**dict.fromkeys(SPECIAL, "second"), "x": "first"}


def test_no_writes_are_no_error(driver: SaverDriver) -> None:
    """A call with nothing to write leaves nothing."""
    put(driver, "c1")
    driver.put_writes(config(id="c1"), [], "task")
    assert writes(driver, config()) == []


def test_writes_may_arrive_before_their_checkpoint(driver: SaverDriver, saver: LmdbSaver) -> None:
    """They wait for it, and are not a checkpoint themselves."""
    driver.put_writes(config(id="c1"), [("x", 1)], "task", "path")
    assert driver.get_tuple(config()) is None
    assert driver.get_tuple(config(id="c1")) is None
    assert driver.list(config()) == []
    put(driver, "c1", {"value": 1})
    assert writes(driver, config()) == [("task", "x", 1)]
    assert thread_ids(saver) == {"t"}


def test_writes_belong_to_their_checkpoint(driver: SaverDriver) -> None:
    """Writes of one checkpoint are not those of another, of its thread or elsewhere."""
    for thread, ns in [("t", ""), ("t", "child"), ("t2", "")]:
        put(driver, "c1", thread=thread, ns=ns)
        put(driver, "c2", thread=thread, ns=ns)
    driver.put_writes(config(id="c1"), [("x", 1)], "task")
    assert writes(driver, config(id="c1")) == [("task", "x", 1)]
    for at in (config(id="c2"), config(ns="child", id="c1"), config("t2", id="c1")):
        assert writes(driver, at) == []


def test_writes_from_several_threads_at_once(saver: LmdbSaver) -> None:
    """Every thread's writes arrive, and of those that claim one place exactly one is kept."""
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


def test_a_write_after_its_thread_was_deleted_does_not_bring_it_back(
    driver: SaverDriver, saver: LmdbSaver
) -> None:
    """A late write is nothing that `list` or `threads` shows."""
    put(driver, "c1", {"value": 1})
    put(driver, "c1", thread="other")
    driver.delete_thread("t")
    driver.put_writes(config(id="c1"), [("x", 1)], "task")
    assert driver.list(config()) == []
    assert driver.get_tuple(config(id="c1")) is None
    assert ids(driver.list(None)) == ["c1"]
    assert thread_ids(saver) == {"other"}


def test_task_path_is_named_in_the_signatures(saver: LmdbSaver) -> None:
    """LangGraph looks for the parameter before it passes it."""
    for method in (saver.put_writes, saver.aput_writes):
        assert inspect.signature(method).parameters["task_path"].default == ""


def test_writes_leave_the_values_as_they_were(driver: SaverDriver) -> None:
    """A pending write is not part of the checkpoint's own values."""
    put(driver, "c1", {"x": "value"})
    driver.put_writes(config(id="c1"), [("x", "written")], "task")
    assert values(driver, config()) == {"x": "value"}
