"""CatchUpSaver: threads that change in a saver, or are deleted, while another use copies them."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from langgraph.checkpoint.lmdb.errors import ThreadDivergedError
from langgraph.checkpoint.lmdb.migrate import catching_up
from tests.graphs.driving import at_thread
from tests.migrate.test_graphs import GRAPH, shown, step, travel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.migrate.conftest import OpenCatchUp


@pytest.fixture
def during_the_copy() -> Iterator[list[Callable[[], object]]]:
    """Functions that run between the copy of a thread and its mark, as another process might."""
    functions: list[Callable[[], object]] = []

    def copy_and_run(*arguments: Any) -> None:
        original(*arguments)
        if functions:
            functions.pop()()

    original = catching_up.copy_thread
    with mock.patch.object(catching_up, "copy_thread", copy_and_run):
        yield functions


def test_a_thread_that_continues_during_another_copy_is_not_untouched(
    during_the_copy: list[Callable[[], object]],
    open_kind: Callable[..., Any],
    open_catch_up: OpenCatchUp,
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    other = open_catch_up(old, new)
    during_the_copy.append(lambda: step(GRAPH(other), at_thread("a"), "in the new saver"))
    saver = open_catch_up(old, new)
    assert "in the new saver" in str(saver.get_tuple(at_thread("a")))
    step(GRAPH(old), at_thread("a"), "in the old saver")
    with pytest.raises(ThreadDivergedError):
        saver.get_tuple(at_thread("a"))


def test_a_change_that_another_process_copies_first_is_not_an_error(
    during_the_copy: list[Callable[[], object]],
    open_kind: Callable[..., Any],
    open_catch_up: OpenCatchUp,
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)

    def change_both() -> None:
        step(GRAPH(old), at_thread("a"), "in the old saver")
        step(GRAPH(open_catch_up(old, new)), at_thread("a"), "in the new saver")

    during_the_copy.append(change_both)
    states = str(shown(open_catch_up(old, new), "a"))
    assert "in the old saver" in states
    assert "in the new saver" in states


def test_a_thread_that_changes_in_both_savers_during_a_copy_is_an_error(
    during_the_copy: list[Callable[[], object]],
    open_kind: Callable[..., Any],
    open_catch_up: OpenCatchUp,
) -> None:
    """The use that copies does not know yet that the thread changed in the old saver."""
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)

    def change_both() -> None:
        step(GRAPH(open_catch_up(old, new)), at_thread("a"), "in the new saver")
        step(GRAPH(old), at_thread("a"), "in the old saver")

    during_the_copy.append(change_both)
    saver = open_catch_up(old, new)
    saver.get_tuple(at_thread("a"))
    with pytest.raises(ThreadDivergedError):
        saver.get_tuple(at_thread("a"))


def test_a_thread_that_is_deleted_during_a_copy_stays_deleted(
    during_the_copy: list[Callable[[], object]],
    open_kind: Callable[..., Any],
    open_catch_up: OpenCatchUp,
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    travel(old)
    during_the_copy.append(lambda: open_catch_up(old, new).delete_thread("a"))
    saver = open_catch_up(old, new)
    assert saver.get_tuple(at_thread("a")) is None
    assert saver.threads() == ["b"]


def test_checkpoints_that_are_deleted_during_another_copy_stay_deleted(
    open_kind: Callable[..., Any], open_catch_up: OpenCatchUp
) -> None:
    old, new = open_kind("sqlite"), open_kind("lmdb")
    for text in ("one", "two"):
        step(GRAPH(old), {**at_thread("a"), "metadata": {"run_id": text}}, text)
    put, numbers = new._put_with_writes, count()

    def delete_and_put(*arguments: Any) -> Any:
        if next(numbers) == 1:
            open_catch_up(old, new).delete_for_runs(["two"])
        return put(*arguments)

    saver = open_catch_up(old, new)
    with mock.patch.object(new, "_put_with_writes", delete_and_put):
        saver.get_tuple(at_thread("a"))
    left = [item.metadata["run_id"] for item in saver.list(at_thread("a"))]
    assert left
    assert {*left} == {"one"}
    step(GRAPH(saver), at_thread("a"), "next")
    assert "next" in str(saver.get_tuple(at_thread("a")))
