"""Threads, their pages, the steps of a thread, and what a look at them reads."""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import CheckpointNotFoundError, ThreadNotFoundError
from langgraph.checkpoint.lmdb.lock_files import run_lock
from langgraph.checkpoint.lmdb.views.changes import changed_threads
from langgraph.checkpoint.lmdb.views.plain import PlainSerializer
from langgraph.checkpoint.lmdb.views.search import search
from langgraph.checkpoint.lmdb.views.statistics import statistics_of
from langgraph.checkpoint.lmdb.views.steps import all_steps, history_of, step_of
from langgraph.checkpoint.lmdb.views.stores import find_address, find_step, thread_info
from langgraph.checkpoint.lmdb.views.threads import SORTS, ThreadQuery, list_threads
from langgraph.checkpoint.lmdb.views.trees import tree_of
from langgraph.checkpoint.lmdb.workflows import FileLockManager
from tests.retention.stores import CountingStore
from tests.views import graphs

if TYPE_CHECKING:
    from pathlib import Path

THREADS = ("chat", "waiting", "failed", "forked", "delta", "answered")


@pytest.fixture(scope="module")
def saver(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A saver, as faces open it, on a store that tests only read."""
    path = tmp_path_factory.mktemp("views") / "store"
    with LmdbSaver(path, sync="off") as saver:
        graphs.fill(saver)
    with LmdbSaver(path, serde=PlainSerializer(), readonly=True) as saver:
        yield saver


def ids(saver: KvSaver, **query: Any) -> list[str]:
    return [found.info.thread_id for found in list_threads(saver, ThreadQuery(**query))]  # type: ignore[arg-type]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("reverse", [False, True])
def test_pages_are_the_whole_list(saver: LmdbSaver, sort: str, reverse: bool) -> None:
    whole = ids(saver, sort=sort, reverse=reverse)
    assert sorted(whole) == sorted(THREADS)
    assert ids(saver, sort=sort, reverse=not reverse) == whole[::-1]
    pages: list[str] = []
    after = None
    while page := ids(saver, sort=sort, reverse=reverse, limit=2, after=after):
        pages += page
        after = page[-1]
    assert pages == whole


def test_threads_are_chosen_by_state_prefix_and_metadata(saver: LmdbSaver) -> None:
    assert ids(saver, states=["failed"]) == ["failed"]
    assert sorted(ids(saver, states=["failed", "waiting"])) == ["failed", "waiting"]
    assert sorted(ids(saver, prefix="f")) == ["failed", "forked"]
    assert ids(saver, metadata={"source": "update"}) == ["forked"]
    assert ids(saver, states=["complete"], prefix="f") == []


def test_locked_run_is_running(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver:
        graphs.failed(saver)
        graphs.asked(saver)
        changes = changed_threads(saver)
        with FileLockManager(tmp_path / "store").lock(run_lock("asked")):
            assert {one.info.thread_id: one.state for one in next(changes)} == {
                "failed": "failed",
                "asked": "running",
            }
            assert ids(saver, states=["running"]) == ["asked"]
            assert ids(saver, states=["waiting"]) == []
            assert sorted(ids(saver, states=["running", "failed"])) == ["asked", "failed"]
            assert step_of(saver, find_step(saver, "asked")).state == "running"
        assert ids(saver, states=["running"]) == []


def test_changed_threads_are_those_since_the_last_look(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver:
        graphs.failed(saver)
        changes = changed_threads(saver)
        assert [one.info.thread_id for one in next(changes)] == ["failed"]
        assert next(changes) == []
        graphs.asked(saver)
        assert [one.info.thread_id for one in next(changes)] == ["asked"]
        assert next(changes) == []


def test_history_is_a_line_and_all_steps_are_all_checkpoints(saver: LmdbSaver) -> None:
    for thread in THREADS:
        steps = [*history_of(saver, find_step(saver, thread))]
        assert [one.parent_id for one in steps] == [
            *[one.checkpoint_id for one in steps[1:]],
            None,
        ]
        assert [one.is_latest for one in steps] == [True] + [False] * (len(steps) - 1)
        every = [*all_steps(saver, thread)]
        config: Any = {"configurable": {"thread_id": thread}}
        listed = [found.checkpoint["id"] for found in saver.list(config)]
        assert [one.checkpoint_id for one in every] == listed[::-1]
        for step in every:
            at = {"thread_id": thread, "checkpoint_ns": step.namespace}
            found = saver.get_tuple({"configurable": {**at, "checkpoint_id": step.checkpoint_id}})
            assert found is not None
            assert step_of(saver, found) == step


def test_part_of_an_id_may_have_only_digits() -> None:
    with LmdbSaver(":memory:") as saver:
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        ids = [f"1f1eb116-8f2c-6081-8000-0000{step}2345678" for step in range(3)]
        for step, name in enumerate(ids):
            checkpoint: Any = {**empty_checkpoint(), "id": name}
            config = saver.put(config, checkpoint, {"source": "loop", "step": step}, {})
        for step, name in enumerate(ids):
            for spec in (str(step), name[-8:], f"~{2 - step}"):
                assert find_step(saver, "t", spec).checkpoint["id"] == name
        for spec in ("3", "99999999", "--1", "~3"):
            with pytest.raises(CheckpointNotFoundError, match="no checkpoint matches"):
                find_step(saver, "t", spec)


def test_step_of_a_delta_channel_has_its_writes(saver: LmdbSaver) -> None:
    step = step_of(saver, find_step(saver, "delta"))
    (log,) = (channel for channel in step.channels if channel.name == "log")
    assert log.writes
    assert log.to_dict()["writes"]


def test_checkpoint_is_found_by_each_of_its_names(saver: LmdbSaver) -> None:
    line = [*history_of(saver, find_step(saver, "chat"))]
    wanted = line[2].checkpoint_id
    for spec in (wanted, wanted[:-1], wanted[-6:], "~2", str(line[2].step)):
        assert find_step(saver, "chat", spec).checkpoint["id"] == wanted
        assert find_address(saver, f"chat@{spec}").checkpoint["id"] == wanted
    assert find_step(saver, "chat", "latest").checkpoint["id"] == line[0].checkpoint_id
    for missing in ("~99", "99", "zzzz", wanted[:3]):
        with pytest.raises(CheckpointNotFoundError):
            find_step(saver, "chat", missing)
    with pytest.raises(ThreadNotFoundError):
        find_address(saver, "missing@1")
    with pytest.raises(ThreadNotFoundError):
        thread_info(saver, "ch")
    assert thread_info(saver, "chat").thread_id == "chat"


def test_search_finds_channels_and_pending_writes(saver: LmdbSaver) -> None:
    import re

    def paths(pattern: str, **options: Any) -> list[str]:
        return [hit.path for hit in search(saver, re.compile(pattern), **options)]

    assert paths("^sunny$", thread_id="chat") == ["messages[2].content", "messages[6].content"]
    assert paths("no token", channel="__error__") == ["__error__ (pending write)"]
    assert paths("sunny", prefix="w") == []
    assert len(paths("^sunny$", history=True)) > 2


def test_statistics_add_up(saver: LmdbSaver) -> None:
    found = statistics_of(saver, values=True)
    assert found.totals == saver.stats()
    assert sum(size for _, size in found.largest) == found.totals.bytes
    assert sum(count for _, count, _ in found.growth) == found.totals.threads
    assert found.ratio is not None
    assert found.value_bytes is not None
    assert statistics_of(saver).ratio is None


def test_a_look_reads_no_more_among_many_threads() -> None:
    """The records that are read, counted in stores of 60 and of 600 threads."""
    counts: dict[str, list[int]] = {}
    for threads in (60, 600):
        store = CountingStore()
        saver: Any = KvSaver(store, serde=PlainSerializer(), cache_size=0)
        writer: Any = KvSaver(store, clock=map(float, count(10**9, 60)).__next__)
        graphs.failed(writer)
        for number in range(threads):
            writer.copy_thread("failed", f"failed-{number:04d}")
        looks = {
            "threads": lambda saver=saver: [*list_threads(saver, ThreadQuery(limit=50))],
            "failed": lambda saver=saver: [
                *list_threads(saver, ThreadQuery(states=["failed"], limit=50))
            ],
            "show": lambda saver=saver: step_of(saver, find_step(saver, "failed-0007")),
            "tree": lambda saver=saver: tree_of(saver, "failed-0007"),
            "history": lambda saver=saver: [*history_of(saver, find_step(saver, "failed-0007"))],
            "changes": lambda saver=saver: [*islice(changed_threads(saver), 2)],
        }
        for name, look in looks.items():
            with store.counting() as found:
                look()
            counts.setdefault(name, []).append(found.reads)
    assert all(many <= 1.1 * few for few, many in counts.values()), counts
    assert counts["show"][0] < 60
