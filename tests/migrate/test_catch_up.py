"""CatchUpSaver: threads move on first use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from langgraph.checkpoint.lmdb.errors import ThreadDivergedError
from langgraph.checkpoint.lmdb.migrate import CatchUpSaver, migrate
from tests.graphs.driving import at_thread
from tests.migrate.test_graphs import GRAPH, shown, step, travel

if TYPE_CHECKING:
    from collections.abc import Callable

NEW = ("lmdb", "sqlite", "memory")


@pytest.mark.parametrize("kind", NEW)
def test_a_thread_is_copied_on_first_use(kind: str, open_kind: Callable[..., Any]) -> None:
    old, new = open_kind("sqlite"), open_kind(kind)
    travel(old)
    saver = CatchUpSaver(old, new)
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


def test_async_methods_copy_a_thread(open_kind: Callable[..., Any]) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    saver = CatchUpSaver(old, new)

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


def test_a_change_in_the_old_saver_is_copied(open_kind: Callable[..., Any]) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    saver = CatchUpSaver(old, new)
    saver.get_tuple(at_thread("a"))
    step(GRAPH(old), at_thread("a"), "in the old saver")
    assert shown(saver, "a") == shown(old, "a")


def test_a_change_in_both_savers_is_an_error(open_kind: Callable[..., Any]) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    saver = CatchUpSaver(old, new)
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
def test_a_deleted_thread_stays_deleted(kind: str, open_kind: Callable[..., Any]) -> None:
    old, new = open_kind("sqlite"), open_kind(kind)
    travel(old)
    saver = CatchUpSaver(old, new)
    saver.get_tuple(at_thread("a"))
    for thread in ("a", "b"):
        saver.delete_thread(thread)
    again = CatchUpSaver(old, new)
    assert again.get_tuple(at_thread("a")) is again.get_tuple(at_thread("b")) is None
    assert again.threads() == []
    assert [*again.list(None)] == []
    step(GRAPH(again), at_thread("a"), "anew")
    assert again.threads() == ["a"]


def test_deleted_checkpoints_stay_deleted(open_kind: Callable[..., Any]) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    for saver, text in ((old, "one"), (old, "two")):
        at = {**at_thread("a"), "metadata": {"run_id": text}}
        step(GRAPH(saver), at, text)
    saver = CatchUpSaver(old, new)
    before = len(shown(old, "a"))
    saver.delete_for_runs(["two"])
    left = [item.metadata["run_id"] for item in saver.list(at_thread("a"))]
    assert left
    assert {*left} == {"one"}
    assert len(shown(old, "a")) == before


def test_a_migrated_thread_is_not_copied_again(open_kind: Callable[..., Any]) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    migrate(old, new)
    step(GRAPH(new), at_thread("a"), "next")
    saver = CatchUpSaver(old, new)
    assert shown(saver, "a") == shown(new, "a")
