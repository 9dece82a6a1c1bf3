"""What is out of sight is not sent: pages of long threads and of many threads stay small."""

from __future__ import annotations

import html
import re
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.views.stores import open_store
from langgraph.checkpoint.lmdb.web.site import Site
from tests.views import graphs
from tests.web.conftest import served
from tests.web.test_pages import links, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.web.conftest import Client

STEPS = 1500
ROWS, TREE_ROWS, MESSAGES = 50, 100, 20
"""Items of each list that are sent first."""


@pytest.fixture(scope="module")
def long_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The page of a store with a chat of 1,500 steps."""
    path = tmp_path_factory.mktemp("long") / "store"
    with LmdbSaver(path, sync="off") as saver:
        config: Any = {"configurable": {"thread_id": "long", "checkpoint_ns": ""}}
        kinds = (HumanMessage, AIMessage)
        messages = [kinds[n % 2](f"message {n} ends", id=f"{n}") for n in range(STEPS)]
        for step in range(STEPS):
            checkpoint: Any = {**empty_checkpoint(), "id": str(uuid6(clock_seq=step))}
            values = {"messages": messages} if step == STEPS - 1 else {"note": f"step {step}"}
            versions = dict.fromkeys(values, step + 1)
            checkpoint.update(channel_values=values, channel_versions=versions)
            metadata: Any = {"step": step, "source": "loop"}
            config = saver.put(config, checkpoint, metadata, versions)
    with served(path) as client:
        yield client


def steps(text: str) -> list[str]:
    return re.findall(r'<a data-step="(.*?)"', text)


def test_a_thread_of_1500_steps_is_sent_by_rows_and_messages(long_thread: Client) -> None:
    text = long_thread.get("/thread?thread=long")
    assert len(steps(text)) == TREE_ROWS
    assert len(re.findall('<path class="line', text)) == TREE_ROWS
    talk = text[text.index('id="talk-1"') :]
    assert len(re.findall('<article class="message', talk)) == MESSAGES
    assert "1,480 earlier messages" in text
    assert "message 1499 ends" in text
    assert "message 1400 ends" not in text
    assert len(text) < 120_000
    seen, (more,) = steps(text), links(text, "more")
    while more:
        text = long_thread.get(more)
        assert len(text) < 120_000
        seen += steps(text)
        more = next(iter(links(text, "more")), "")
    assert len(seen) == len({*seen}) == STEPS


def test_the_oldest_step_of_a_long_thread_is_sent_with_its_neighbors(long_thread: Client) -> None:
    text = long_thread.get("/thread?thread=long&at=0")
    assert len(steps(text)) <= TREE_ROWS
    assert re.search('data-step="[^"]*"[^>]*aria-current', text)
    assert len(text) < 120_000


def test_a_long_thread_is_read_once_while_one_moves_through_it(
    long_thread: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()
    site, listed = long_thread.site, long_thread.site.saver.list

    def counted(*arguments: Any, **options: Any) -> Any:
        reads["whole"] += "limit" not in options
        return listed(*arguments, **options)

    monkeypatch.setattr(site.saver, "list", counted)
    for step in (3, 4, 5):
        long_thread.get(f"/thread?thread=long&at={step}")
    assert reads["whole"] <= 1


def test_a_search_shows_a_few_hits_of_a_thread(long_thread: Client) -> None:
    text = long_thread.get("/search?q=ends")
    assert rows(text) == ["long"]
    assert text.count("<mark>") == 3
    assert len(text) < 10_000


def test_a_list_of_many_threads_is_sent_by_rows(tmp_path: Path) -> None:
    clock = map(float, count(10**9))
    with LmdbSaver(tmp_path / "store", sync="off", clock=clock.__next__) as saver:
        graphs.failed(saver)
        for number in range(600):
            saver.copy_thread("failed", f"copy {number:03d}")
        with served(tmp_path / "store") as page:
            for path in ("/", "/?state=failed", "/?q=copy", "/?sort=size", "/?sort=id&reverse=1"):
                text = page.get(path)
                assert len(rows(text)) == ROWS
                assert len(text) < 40_000
            assert len(rows(page.get("/?rows=100000"))) == 500
            assert "99+" in html.unescape(page.get("/"))
            assert len(page.get("/search?q=token")) < 60_000
            assert len(page.get("/statistics?plots=1")) < 20_000


def test_the_site_forgets_what_it_read_when_the_store_changes(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver:
        graphs.asked(saver, "one")
        with open_store(str(tmp_path / "store")) as looking:
            memory = Site(looking, "store", "127.0.0.1", 1, "token").memory
            calls: Counter[Any] = Counter()

            def read(found: LmdbSaver, *arguments: Any) -> int:
                calls[arguments] += 1
                return len(found.threads())

            assert [memory.get(read, 1) for _ in range(3)] == [1, 1, 1]
            assert memory.get(read, 2) == 1
            assert calls == {(1,): 1, (2,): 1}
            graphs.asked(saver, "two")
            assert memory.get(read, 1) == 2
            for number in range(3, 20):
                memory.get(read, number)
            memory.get(read, 1)
            assert calls[(1,)] == 3
