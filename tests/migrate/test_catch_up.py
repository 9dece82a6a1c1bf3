"""CatchUpSaver: threads move on first use."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import ThreadDivergedError
from langgraph.checkpoint.lmdb.migrate import migrate
from tests.graphs.driving import at_thread
from tests.migrate.test_graphs import GRAPH, shown, step, travel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.migrate.conftest import OpenCatchUp

NEW = ("lmdb", "sqlite", "memory")


@pytest.mark.parametrize("kind", NEW)
def test_a_thread_is_copied_on_first_use(
    kind: str, open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind(kind)
    travel(old)
    saver = open_catch_up(old, new)
    with mock.patch.object(old, "put", side_effect=AssertionError):
        step(GRAPH(saver), at_thread("a"), "next")
    assert [*new.list(at_thread("b"))] == []
    assert len(shown(new, "a")) > len(shown(old, "a"))
    assert saver.threads() == ["a", "b"]
    found = [item.config["configurable"]["checkpoint_id"] for item in saver.list(None)]
    if kind != "memory":  # InMemorySaver lists one thread after the other
        assert found == sorted(found, reverse=True)
    assert {item.config["configurable"]["thread_id"] for item in saver.list(None)} == {"a", "b"}
    assert len([*saver.list(None, limit=3)]) == 3


def test_async_methods_copy_a_thread(
    open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    saver = open_catch_up(old, new)

    async def run() -> list[str]:
        await GRAPH(saver).ainvoke({"messages": [("user", "x")]}, at_thread("b"))
        assert {item.config["configurable"]["thread_id"] async for item in saver.alist(None)} == {
            "a",
            "b",
        }
        threads: list[str] = await saver.athreads()
        return threads

    assert asyncio.run(run()) == ["a", "b"]
    assert len(shown(new, "b")) > len(shown(old, "b"))


def test_a_change_in_the_old_saver_is_copied(
    open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    saver = open_catch_up(old, new)
    saver.get_tuple(at_thread("a"))
    step(GRAPH(old), at_thread("a"), "in the old saver")
    assert shown(saver, "a") == shown(old, "a")


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "memory", "lmdb", "plain"])
def test_a_replaced_write_in_the_old_saver_is_copied(
    kind: str, open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind(kind), open_kind("lmdb")
    travel(old)
    saver = open_catch_up(old, new)
    config = saver.get_tuple(at_thread("a")).config
    for answer in ("one", "two"):
        old.put_writes(config, [("__resume__", [answer])], "task")
        assert ("task", "__resume__", [answer]) in saver.get_tuple(at_thread("a")).pending_writes


def test_a_write_to_an_earlier_checkpoint_in_the_old_saver_is_copied(
    open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    saver = open_catch_up(old, new)
    *_, first = saver.list(at_thread("a"))
    old.put_writes(first.config, [("log", "late")], "task")
    assert ("task", "log", "late") in saver.get_tuple(first.config).pending_writes


def test_a_change_in_both_savers_is_an_error(
    open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    saver = open_catch_up(old, new)
    step(GRAPH(saver), at_thread("a"), "in the new saver")
    step(GRAPH(old), at_thread("a"), "in the old saver")
    with pytest.raises(ThreadDivergedError) as caught:
        saver.get_tuple(at_thread("a"))
    tips = [
        max(x.config["configurable"]["checkpoint_id"] for x in s.list(at_thread("a")))
        for s in (old, new)
    ]
    assert [caught.value.old_tip, caught.value.new_tip] == tips
    assert saver.get_tuple(at_thread("b")) is not None


@pytest.mark.parametrize("kind", NEW)
def test_a_deleted_thread_stays_deleted(
    kind: str, open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind(kind)
    travel(old)
    saver = open_catch_up(old, new)
    saver.get_tuple(at_thread("a"))
    for thread in ("a", "b"):
        saver.delete_thread(thread)
    again = open_catch_up(old, new)
    assert again.get_tuple(at_thread("a")) is again.get_tuple(at_thread("b")) is None
    assert again.threads() == []
    assert [*again.list(None)] == []
    step(GRAPH(again), at_thread("a"), "anew")
    assert again.threads() == ["a"]


def test_deleted_checkpoints_stay_deleted(
    open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    for saver, text in ((old, "one"), (old, "two")):
        at = {**at_thread("a"), "metadata": {"run_id": text}}
        step(GRAPH(saver), at, text)
    saver = open_catch_up(old, new)
    before = len(shown(old, "a"))
    saver.delete_for_runs(["two"])
    left = [item.metadata["run_id"] for item in saver.list(at_thread("a"))]
    assert left
    assert {*left} == {"one"}
    assert len(shown(old, "a")) == before


def test_a_migrated_thread_is_not_copied_again(
    open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    migrate(old, new)
    step(GRAPH(new), at_thread("a"), "next")
    saver = open_catch_up(old, new)
    assert shown(saver, "a") == shown(new, "a")


def test_a_migrated_thread_that_then_changes_in_both_savers_is_an_error(
    open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    migrate(old, new)
    step(GRAPH(new), at_thread("a"), "in the new saver")
    step(GRAPH(old), at_thread("a"), "in the old saver")
    with pytest.raises(ThreadDivergedError):
        open_catch_up(old, new).get_tuple(at_thread("a"))


@pytest.mark.parametrize("kind", ["sqlite", "memory", "plain"])
def test_a_pruned_delta_channel_keeps_its_state(
    kind: str, open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("lmdb"), open_kind(kind)
    travel(old)
    old.prune(["a"], keep_last=2)
    saver = open_catch_up(old, new)
    assert GRAPH(saver).get_state(at_thread("a")).values["notes"]
    step(GRAPH(old), at_thread("a"), "in the old saver")
    expected = GRAPH(old).get_state(at_thread("a")).values
    assert GRAPH(saver).get_state(at_thread("a")).values == expected


def test_parallel_first_uses_copy_a_thread_once(
    open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    saver = open_catch_up(old, new)
    barrier = threading.Barrier(8)

    def use(_: int) -> Any:
        barrier.wait()
        return saver.get_tuple(at_thread("a")).config

    with (
        mock.patch.object(new, "_put_with_writes", side_effect=new._put_with_writes) as put,
        ThreadPoolExecutor(8) as pool,
    ):
        found = [*pool.map(use, range(8))]
    assert put.call_count == len([*old.list(at_thread("a"))])
    assert all(config == found[0] for config in found)


def test_processes_that_switch_together_lose_nothing(
    tmp_path: Path, open_catch_up: OpenCatchUp
) -> None:
    threads = [f"thread {number}" for number in range(6)]
    with SqliteSaver.from_conn_string(str(tmp_path / "old.sqlite")) as old:
        for thread in threads:
            for number in range(3):
                step(GRAPH(old), at_thread(thread), f"{thread} {number}")
        processes = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.migrate.service"),
                    *(str(tmp_path / "old.sqlite"), str(tmp_path / "new"), str(number), *threads),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(3)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
        with LmdbSaver(tmp_path / "new") as new:
            saver = open_catch_up(old, new)
            for position, thread in enumerate(threads):
                before, after = shown(old, thread), shown(saver, thread)
                assert after[len(after) - len(before) :] == before
                assert f"process {position % 3}" in str(after[0])
            assert new.verify().ok


@pytest.mark.parametrize("changed", [False, True])
def test_a_copy_that_was_interrupted_is_completed(
    changed: bool, open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    if changed:
        open_catch_up(old, new).get_tuple(at_thread("a"))
        for number in range(3):
            step(GRAPH(old), at_thread("a"), f"in the old saver {number}")
    puts = [mock.DEFAULT, KeyboardInterrupt]
    put = new._put_with_writes
    with (
        mock.patch.object(new, "_put_with_writes", wraps=put, side_effect=puts),
        pytest.raises(KeyboardInterrupt),
    ):
        open_catch_up(old, new).get_tuple(at_thread("a"))
    again = open_catch_up(old, new)
    ids = [found.config["configurable"]["checkpoint_id"] for found in again.list(None)]
    assert ids == [found.config["configurable"]["checkpoint_id"] for found in old.list(None)]
    assert shown(again, "a") == shown(old, "a")


def test_marks_outlive_the_ttl_of_the_new_saver(
    tmp_path: Path, open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old = open_kind("sqlite")
    travel(old)
    now = [1_000_000.0]
    with LmdbSaver(
        tmp_path / "new",
        ttl={"default_ttl": 1, "sweep_interval_minutes": None},
        clock=lambda: now[0],
    ) as new:
        open_catch_up(old, new).delete_thread("a")
        now[0] += 3600
        new.sweep()
        assert open_catch_up(old, new).get_tuple(at_thread("a")) is None
