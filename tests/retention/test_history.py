"""History, children, branches, forks and lists of threads: their results and their costs."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb import KvSaver, ThreadInfo
from langgraph.checkpoint.lmdb.engine import snapshot
from langgraph.checkpoint.lmdb.errors import (
    CheckpointNotFoundError,
    InvalidConfigError,
    ThreadExistsError,
    ThreadNotFoundError,
)
from langgraph.checkpoint.lmdb.models import THREAD_SORTS
from tests.contract.driver import SaverDriver, config, ids, put, put_chain, values, writes
from tests.engine import reachability
from tests.retention.stores import CountingStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.retention.conftest import Clock, RetentionDriver


@pytest.fixture
def driver(make: Callable[..., RetentionDriver]) -> RetentionDriver:
    """Return the driver of a saver with a thread whose ids do not sort as its parents do.

    The parents are 1 - 5, then 5 - 3, 5 - 2 and 5 - 4. The parent of 9 is missing.
    """
    driver = make()
    for checkpoint_id, parent in (("1", None), ("5", "1"), ("3", "5"), ("2", "5"), ("4", "5")):
        put(driver, checkpoint_id, {"x": checkpoint_id}, parent=parent)
    put(driver, "9", {"x": "9"}, parent="missing")
    return driver


def test_history_follows_parents(driver: RetentionDriver) -> None:
    assert ids(driver.history(config(id="3"))) == ["3", "5", "1"]
    assert ids(driver.history(config(id="1"))) == ["1"]
    assert ids(driver.history(config())) == ["9"]
    assert driver.history(config(id="none")) == driver.history(config("unknown")) == []
    assert driver.history(config(id="3"))[1] == driver.get_tuple(config(id="5"))


def test_history_stops_at_loop_of_parents(make: Callable[..., RetentionDriver]) -> None:
    driver = make()
    for checkpoint_id, parent in (("1", "3"), ("2", "1"), ("3", "2"), ("4", "3"), ("5", "5")):
        put(driver, checkpoint_id, parent=parent)
    assert ids(driver.history(config(id="4"))) == ["4", "3", "2", "1"]
    assert ids(driver.history(config(id="5"))) == ids(driver.children(config(id="5"))) == ["5"]
    assert [tip.tip for tip in driver.branches("t")] == ["4"]


def test_children_lists_checkpoints_with_this_parent(driver: RetentionDriver) -> None:
    assert ids(driver.children(config(id="5"))) == ["4", "3", "2"]
    assert ids(driver.children(config(id="1"))) == ["5"]
    assert driver.children(config(id="missing")) == driver.children(config()) == []
    driver.delete_for_runs(["none"])
    driver.saver.prune(["t"], keep_last=3)  # type: ignore[call-arg]
    assert ids(driver.children(config(id="5"))) == ["4"]


def test_branches_lists_tips_with_fork_points(driver: RetentionDriver) -> None:
    assert [tuple(branch) for branch in driver.branches("t")] == [
        ("9", None, 1, 1), ("4", "5", 1, 3), ("3", "5", 1, 3), ("2", "5", 1, 3),
    ]  # fmt: skip
    assert driver.branches("t", "sub") == driver.branches("unknown") == []
    put(driver, "6", ns="sub")
    assert [branch.tip for branch in driver.branches("t", "sub")] == ["6"]


def test_fork_copies_ancestors_writes_and_subgraph_calls(
    make: Callable[..., RetentionDriver], kv: CountingStore, clock: Clock
) -> None:
    """Siblings and later checkpoints are not copied."""
    driver = make()
    text = "long enough to be stored as a chunk of its own " * 40
    for checkpoint_id, parent in (("1", None), ("2", "1"), ("3", "2"), ("4", "2")):
        put(
            driver,
            checkpoint_id,
            {"x": text + checkpoint_id},
            parent=parent,
            step=int(checkpoint_id),
        )
        put(driver, "1", {"y": 1}, ns=f"call:{checkpoint_id}", parents={"": checkpoint_id})
        put(driver, checkpoint_id, ns="memory", parent=parent, parents={"": checkpoint_id})
        driver.put_writes(config(id=checkpoint_id), [("x", 1)], f"task {checkpoint_id}")
    before = driver.stats().bytes
    clock.wait(1)
    assert driver.fork(config(id="3"), "fork") == config("fork", id="3")
    assert driver.stats().bytes - before < 3000
    assert ids(driver.list(config("fork"))) == ["3", "2", "1"]
    assert ids(driver.list(config("fork", ns="memory"))) == ["3", "2", "1"]
    shown = {
        one.config["configurable"]["checkpoint_ns"] for one in driver.list(config("fork", None))
    }
    assert shown == {"", "memory", "call:1", "call:2", "call:3"}
    assert writes(driver, config("fork", id="2")) == [("task 2", "x", 1)]
    info = driver.threads("fork")[0]
    assert (info.checkpoints, info.writes, info.step) == (9, 3, 3)
    assert info.created == info.updated > driver.threads("t")[0].updated
    reachability.check(kv)
    driver.delete_thread("t")
    reachability.check(kv)
    assert values(driver, config("fork")) == {"x": text + "3"}
    put(driver, "5", {"x": "new"}, thread="fork", parent="3")
    assert ids(driver.history(config("fork"))) == ["5", "3", "2", "1"]


def test_fork_refuses_missing_source_and_existing_target(driver: RetentionDriver) -> None:
    put(driver, "1", ns="sub")
    put(driver, "1", thread="there")
    driver.put_writes(config("early", id="1"), [("x", 1)], "task")
    for at in (config(id="none"), config("unknown"), config("early")):
        with pytest.raises(CheckpointNotFoundError) as missing:
            driver.fork(at, "fork")
        assert missing.value.thread_id == at["configurable"]["thread_id"]
    for target in ("there", "t"):
        with pytest.raises(ThreadExistsError) as caught:
            driver.fork(config(id="3"), target)
        assert caught.value.thread_id == target
    with pytest.raises(InvalidConfigError, match="root"):
        driver.fork(config(ns="sub"), "fork")
    with pytest.raises(InvalidConfigError):
        driver.fork({"configurable": {}}, "fork")
    assert driver.get_tuple(config("fork")) is None
    assert driver.fork(config(id="3"), "early") == config(
        "early", id="3"
    )  # "early" has only writes
    assert writes(driver, config("early", id="1")) == []


def test_thread_info_and_stats_describe_thread(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    driver = make(ttl={"default_ttl": 10})
    put(driver, "1", thread=7, step=-1, source="input")
    clock.wait(1)
    put(driver, "2", thread=7, parent="1", step=0, source="loop")
    put(driver, "1", thread=7, ns="sub", step=5)
    driver.put_writes(config(7, id="2"), [("x", 1), ("y", 2)], "task")
    (info,) = driver.threads()
    assert info.thread_id == "7"
    assert info.created.tzinfo is timezone.utc
    assert (info.updated - info.created) == timedelta(minutes=1)
    assert info.expires == info.updated + timedelta(minutes=10)
    assert (info.checkpoints, info.writes) == (3, 2)
    assert {*info.namespaces} == {"", "sub"}
    assert (info.step, info.source) == (0, "loop")
    stats = driver.stats()
    assert (stats.threads, stats.checkpoints, stats.writes) == (1, 3, 2)
    assert stats.bytes == info.bytes > 0
    assert stats.file_bytes == 0  # the store is in memory
    put(driver, "1", thread="sub only", ns="sub")
    assert (driver.threads("sub")[0].step, driver.threads("sub")[0].source) == (None, None)


PAUSES_MS = [0, 1, 19, 20, 21, 30, 100, 500, 2500]
"""Milliseconds between two puts. The time index may lag by 19."""


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "ab", "c\0", "d" * 200]), st.sampled_from(PAUSES_MS)),
        max_size=20,
    ),
    st.integers(0, 500),
    st.integers(0, 5000),
    st.integers(1, 3),
    st.booleans(),
)
def test_threads_are_listed_by_last_activity(
    activity: list[Any], since: int, before: int, size: int, by_id: bool
) -> None:
    """The order, the pages and the time windows are exact to the millisecond."""
    now = 1_700_000_000_000
    saver = KvSaver(CountingStore(), clock=lambda: now / 1000 + 0.0001)
    updated: dict[str, int] = {}
    for number, (thread, milliseconds) in enumerate(activity):
        now += milliseconds
        put(SaverDriver(saver), f"{number}", thread=thread)
        updated[thread] = now
    expected = sorted(updated, key=lambda thread: (-updated[thread], thread))
    assert [info.thread_id for info in saver.threads()] == expected
    pages: list[Any] = []
    while page := saver.threads(
        limit=size, after=(pages[-1].thread_id if by_id else pages[-1]) if pages else None
    ):
        pages += page
        assert len(pages) <= len(updated)
    assert pages == saver.threads()
    after, until = 1_700_000_000_000 + since, 1_700_000_000_000 + since + before
    window = [t for t in expected if after < updated[t] < until]
    given_times = {"updated_after": after / 1000, "updated_before": until / 1000}
    assert [info.thread_id for info in saver.threads(**given_times)] == window
    for info in pages:
        for moment in (info.updated, info.updated.timestamp()):
            later = [t for t in expected if updated[t] > updated[info.thread_id]]
            assert [i.thread_id for i in saver.threads(updated_after=moment)] == later
            earlier = [t for t in expected if updated[t] < updated[info.thread_id]]
            assert [i.thread_id for i in saver.threads(updated_before=moment)] == earlier
    with_prefix = [t for t in expected if t.startswith("a") and updated[t] > after]
    for few, recent in ((500, 5000), (0, 1), (0, 2), (1, 3)):
        with patch.multiple(snapshot, _FEW=few, _RECENT=recent):
            found = [info.thread_id for info in saver.threads("a", updated_after=after / 1000)]
        assert found == with_prefix


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "ab", "c\0", "d" * 200]), st.sampled_from(PAUSES_MS)),
        max_size=12,
    ),
    st.sampled_from(THREAD_SORTS),
    st.booleans(),
    st.sampled_from([None, "a"]),
    st.integers(1, 3),
    st.booleans(),
)
def test_threads_are_sorted_by_any_field(
    activity: list[Any], sort: Any, reverse: bool, prefix: str | None, size: int, by_id: bool
) -> None:
    """Pages continue by id or by info, whatever the order."""
    now = 1_700_000_000_000
    saver = KvSaver(CountingStore(), clock=lambda: now / 1000 + 0.0001)
    for number, (thread, milliseconds) in enumerate(activity):
        now += milliseconds
        put(SaverDriver(saver), f"{number}", {"x": "y" * milliseconds}, thread=thread)

    def position(info: ThreadInfo) -> Any:
        value = getattr(info, sort)
        if isinstance(value, datetime):
            value = value.timestamp()
        return (value if sort == "thread_id" else -value), info.thread_id

    order: Any = {"prefix": prefix, "sort": sort, "reverse": reverse}
    every = [info for info in saver.threads() if info.thread_id.startswith(prefix or "")]
    expected = sorted(every, key=position, reverse=reverse)
    assert saver.threads(**order) == expected
    pages: list[ThreadInfo] = []
    while page := saver.threads(
        **order, limit=size, after=(pages[-1].thread_id if by_id else pages[-1]) if pages else None
    ):
        pages += page
        assert len(pages) <= len(expected)
    assert pages == expected
    light = {"namespaces": (), "step": None, "source": None, "next": ()}
    bare = [dataclasses.replace(info, **light) for info in expected]
    assert saver.threads(**order, details=False) == bare


def test_details_cost_reads() -> None:
    kv = CountingStore()
    saver = KvSaver(kv, cache_size=0)
    for number in range(20):
        put(SaverDriver(saver), "1", thread=f"{number}")
    reads = []
    for details in (False, True):
        with kv.counting() as counts:
            assert len(saver.threads(details=details)) == 20
        reads.append(counts.reads)
    assert 2 * reads[0] <= reads[1]


def test_first_threads_of_a_common_prefix_cost_no_read_of_all(clock: Clock) -> None:
    kv = CountingStore()
    saver = KvSaver(kv, clock=clock, cache_size=0)
    for number in range(300):
        put(SaverDriver(saver), "1", thread=f"t{number:03}")
        clock.wait(1)
    with patch.object(snapshot, "_FEW", 10), kv.counting() as counts:
        assert [info.thread_id for info in saver.threads("t", limit=2)] == ["t299", "t298"]
    assert counts.reads < 100  # a page of entries, and the two threads


def test_threads_with_rapid_activity_are_listed_in_order(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    driver = make()
    for thread in ("a", "b", "a", "c", "b", "a"):
        put(driver, "1", thread=thread)
        clock.wait(0.015 / 60)
    assert [info.thread_id for info in driver.threads()] == ["a", "b", "c"]
    assert [info.thread_id for info in driver.threads(limit=1)] == ["a"]


def test_page_after_deleted_thread_needs_its_info(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    """The info holds the position of the thread in the list. The id alone does not."""
    driver = make()
    for number in range(6):
        put(driver, "1", thread=f"{number}")
        clock.wait(0.01)
    last = driver.threads(limit=2)[-1]
    driver.delete_thread(last.thread_id)
    assert [info.thread_id for info in driver.threads(after=last)] == ["3", "2", "1", "0"]
    with pytest.raises(ThreadNotFoundError, match="instead of its id"):
        driver.threads(after=last.thread_id)


def costs(size: int, clock: Clock) -> list[int]:
    """Return the numbers of reads of several calls to a store with so many threads."""
    kv = CountingStore()
    saver = KvSaver(kv, clock=clock, cache_size=0, ttl={"default_ttl": 1e6})
    driver = SaverDriver(saver)
    for number in range(size):
        put(driver, "1", thread=f"{number:04}")
        clock.wait(0.01)
    put_chain(driver, [f"{number:04}" for number in range(10)], thread="chain")
    for number in range(size):
        put(driver, f"1{number:04}", thread="chain", parent="0005")
    put(driver, "9", thread="chain", parent="0009")
    page = saver.threads(limit=5)[-1]
    found = []
    for call in (
        lambda: saver.threads(limit=5),
        lambda: saver.threads(limit=5, after=page),
        lambda: saver.threads(limit=5, after=page.thread_id),
        lambda: saver.threads("0003"),
        lambda: saver.threads(updated_after=clock.now - 3),
        saver.stats,
        lambda: [*saver.history(config("chain", id="0009"))],
        lambda: saver.children(config("chain", id="0008")),
        lambda: saver.fork(config("chain", id="0009"), "fork"),
    ):
        with kv.counting() as counts:
            call()
            found.append(counts.reads)
    return found


def test_costs_depend_on_results_only(clock: Clock) -> None:
    """They do not depend on the number of threads, checkpoints and siblings.

    Both stores have more threads than are looked up at a time.
    """
    few, many = costs(100, clock), costs(300, clock)
    assert few == many
    assert max(few) < 200
