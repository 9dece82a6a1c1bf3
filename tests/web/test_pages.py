"""The pages as HTML, without a script."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.cli.conftest import run_json
from tests.views import graphs
from tests.web.conftest import Client, served

if TYPE_CHECKING:
    from pathlib import Path

HTML = "<img src=x onerror=alert(1)><script>alert(1)</script>'\"&amp;"


def rows(text: str) -> list[str]:
    """Return the texts of the links to threads."""
    return [html.unescape(row) for row in re.findall(r"<a data-row href=.*?>(.*?)</a>", text)]


def links(text: str, kind: str) -> list[str]:
    """Return the targets of the links with a data attribute."""
    return [
        html.unescape(found) for found in re.findall(rf'<a data-{kind}\b[^>]*? href="(.*?)"', text)
    ]


def put(saver: LmdbSaver, thread_id: str, values: dict[str, Any] | None = None) -> None:
    """Store a checkpoint."""
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = values or {}
    checkpoint["channel_versions"] = versions = dict.fromkeys(checkpoint["channel_values"], 1)
    config: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
    saver.put(config, checkpoint, {}, versions)


def test_the_first_rows_are_in_the_html(page_of_filled: Client) -> None:
    text = page_of_filled.get("/")
    assert rows(text) == ["answered", "delta", "forked", "failed", "waiting", "chat"]
    assert "ValueError(&#39;no token&#39;)" in text
    assert re.search(r"all <b>6</b>", text)
    assert re.search(r"failed <b>1</b>", text)


def test_states_and_prefixes_choose_threads(page_of_filled: Client) -> None:
    assert rows(page_of_filled.get("/?state=failed")) == ["failed"]
    assert rows(page_of_filled.get("/?q=f")) == ["forked", "failed"]
    assert rows(page_of_filled.get("/?q=f&state=stalled")) == ["forked"]
    assert "No thread matches" in page_of_filled.get("/?q=nothing")
    assert len(rows(page_of_filled.get("/?state=%27"))) == 6


def test_pages_continue_where_the_page_before_ended(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver, served(tmp_path / "store") as page:
        for number in range(120):
            put(saver, f"thread {number}")
        found, path = [], "/"
        while path:
            text = page.get(path)
            assert len(rows(text)) <= 50
            found += rows(text)
            path = next(iter(links(text, "more")), "")
        assert sorted(found) == sorted(f"thread {number}" for number in range(120))
        assert len(rows(page.get("/?rows=80"))) == 80
        (more,) = links(page.get("/"), "more")
        saver.delete_thread(rows(page.get("/"))[-1])
        answer = page.ask(more)
        assert (answer.status, answer.headers["location"]) == (303, "/")


def test_columns_sort_the_list(page_of_filled: Client, filled: Path) -> None:
    for column, field in (("id", "thread_id"), ("steps", "checkpoints"), ("size", "bytes")):
        known = {one["thread_id"]: one[field] for one in run_json("threads", filled)}
        text = page_of_filled.get(f"/?sort={column}")
        assert re.search(rf'aria-sort="{"a" if column == "id" else "de"}scending"', text)
        found = rows(text)
        assert [known[name] for name in found] == sorted(known.values(), reverse=column != "id")
        (turn,) = re.findall(rf'aria-sort="\w+"><a href="([^"]*sort={column}[^"]*)"', text)
        assert rows(page_of_filled.get(html.unescape(turn))) == found[::-1]
        assert f"sort={column}" in html.unescape(
            page_of_filled.get(f"/?sort={column}&state=failed")
        )
    assert rows(page_of_filled.get("/?sort=odd")) == rows(page_of_filled.get("/"))


def test_sorted_pages_continue_where_the_page_before_ended(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver, served(tmp_path / "store") as page:
        for number in range(60):
            put(saver, f"thread {number:02d}")
        first = page.get("/?sort=id&reverse=1")
        (more,) = links(first, "more")
        assert rows(first) + rows(page.get(more)) == [f"thread {n:02d}" for n in range(59, -1, -1)]
        saver.delete_thread(rows(first)[-1])
        assert page.ask(more).headers["location"] == "/?sort=id&reverse=1"


def test_the_search_finds_values(page_of_filled: Client) -> None:
    text = page_of_filled.get("/search?q=NO+TOKEN")
    assert rows(text) == ["failed"]
    assert "<mark>no token</mark>" in text
    (link,) = links(text, "row")
    assert "no token" in page_of_filled.get(link)
    assert html.unescape(page_of_filled.get("/search?q=sunny")).count("<mark>sunny</mark>") == 3
    assert "No value has this text" in page_of_filled.get("/search?q=(?")
    assert "latest checkpoint" in page_of_filled.get("/search")


def test_the_search_continues_by_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langgraph.checkpoint.lmdb.views.search._THREADS", 3)
    with LmdbSaver(tmp_path / "store", sync="off") as saver, served(tmp_path / "store") as page:
        for number in range(8):
            put(saver, f"thread {number}", {"note": "odd" if number % 2 else "even"})
        found, path, pages = [], "/search?q=odd", 0
        while path:
            text = page.get(path)
            found, pages = found + rows(text), pages + 1
            path = next(iter(links(text, "more")), "")
        assert (sorted(found), pages) == ([f"thread {number}" for number in (1, 3, 5, 7)], 3)
        (more,) = links(page.get("/search?q=odd"), "more")
        for number in range(7):
            saver.delete_thread(f"thread {number}")
        saver.delete_thread("thread 7")
        assert page.ask(more).headers["location"] == "/search?q=odd"


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store"), served(tmp_path / "store") as page:
        assert "no threads yet" in page.get("/")


def test_a_thread_has_its_branches_and_its_latest_step(
    page_of_filled: Client, filled: Path
) -> None:
    (tree,) = run_json("tree", filled, "forked")
    text = page_of_filled.get("/thread?thread=forked")
    steps = re.findall(r'<a data-step="(.*?)"', text)
    assert steps == [node["checkpoint_id"] for node in tree["nodes"]]
    assert re.findall(r'<a data-step="([^"]*)"[^>]*aria-current', text) == [tree["current"]]
    assert len({*re.findall(r'<circle class="dot color(\d)', text)}) == 3
    assert "subgraph" in text
    for step in steps:
        assert f"{step}</span>" in page_of_filled.get(f"/thread?thread=forked&at={step}")


def test_a_step_shows_what_the_run_holds(page_of_filled: Client) -> None:
    text = html.unescape(page_of_filled.get("/thread?thread=chat"))
    assert "How is the weather in Oslo?" in text
    assert "calls <b>weather</b>" in text
    assert '"city": "Oslo"' in text
    assert "It is sunny." in text
    text = html.unescape(page_of_filled.get("/thread?thread=waiting"))
    assert '"question": "color"' in text
    assert "__interrupt__" in text
    assert "next <b>ask, ask</b>" in text
    assert "ValueError('no token')" in html.unescape(page_of_filled.get("/thread?thread=failed"))
    delta = page_of_filled.get("/thread?thread=delta")
    assert "turn 2" in delta


def test_subgraphs_have_pages(page_of_filled: Client, filled: Path) -> None:
    (tree,) = run_json("tree", filled, "forked")
    node = next(node for node in tree["nodes"] if node["subgraphs"])
    namespace = node["subgraphs"][0]["namespace"]
    link = f"/thread?{urlencode({'thread': 'forked', 'ns': namespace})}"
    at = f"/thread?thread=forked&at={node['checkpoint_id']}"
    assert link in html.unescape(page_of_filled.get(at))
    assert "lazy dog" in page_of_filled.get(link)


def test_two_steps_side_by_side(page_of_filled: Client) -> None:
    text = page_of_filled.get("/compare?thread=failed&a=-1&b=1")
    assert "Step -1" in text
    assert "prepared" in text
    assert "hold the same values" in page_of_filled.get("/compare?thread=chat")
    choosing = page_of_filled.get("/thread?thread=failed&compare=1")
    assert all(link.startswith("/compare?") for link in links(choosing, 'step="[^"]*"[^>]*'))


def test_the_page_answers_304_until_the_store_changes(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver, served(tmp_path / "store") as page:
        graphs.asked(saver, "one")
        for path in ("/", "/thread?thread=one"):
            mark = page.ask(path).headers["etag"]
            assert page.ask(path, If_None_Match=mark).status == 304
            assert page.ask(path, If_None_Match='"other"').status == 200
        mark = page.ask("/").headers["etag"]
        graphs.asked(saver, "two")
        assert page.ask("/", If_None_Match=mark).status == 200


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/nothing", 404, "There is nothing here"),
        ("/thread", 404, "names no thread"),
        ("/thread?thread=missing", 404, "missing"),
        ("/thread?hash=missing", 404, "does not exist"),
        ("/thread?thread=chat&at=missing", 404, "no checkpoint matches"),
        ("/thread?thread=chat&ns=missing", 404, "missing"),
        ("/thread?thread=%FF%C0", 404, "\ufffd"),
        ("/compare?thread=chat&a=missing", 404, "no checkpoint matches"),
        ("/value?thread=chat&part=write&index=99", 404, "There is nothing here"),
        ("/value?thread=chat&part=channel&channel=x", 404, "There is nothing here"),
        ("/static/../app.py", 404, ""),
    ],
)
def test_errors_are_pages(page_of_filled: Client, path: str, status: int, text: str) -> None:
    assert text in page_of_filled.get(path, status)


def test_other_methods_are_refused(page_of_filled: Client) -> None:
    for path in ("/", "/thread?thread=chat"):
        assert page_of_filled.ask(path, method="POST").status == 405
        assert page_of_filled.ask(path, method="DELETE").status == 405


def test_a_failure_of_the_page_shows_no_traceback(
    page_of_filled: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "langgraph.checkpoint.lmdb.web.reading.diff", lambda *_: {}["secret detail"]
    )
    answer = page_of_filled.ask("/thread?thread=chat")
    assert answer.status == 500
    assert "The page failed" in answer.text
    assert "secret detail" not in answer.text
    assert "File" not in answer.text


@pytest.mark.parametrize(
    "thread_id", ["", HTML, graphs.HOSTILE, "a/../b", "\ud800", "\0", "?&#%", "x" * 999, "~1", "7"]
)
def test_any_thread_id_can_be_opened(tmp_path: Path, thread_id: str) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver, served(tmp_path / "store") as page:
        put(saver, thread_id)
        text = page.get("/")
        (link,) = links(text, "row")
        opened = page.get(link)
    for found in (text, opened):
        assert "<img" not in found
        assert "<script>" not in found
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", found)


def test_a_thread_id_of_ten_megabytes_can_be_opened(tmp_path: Path) -> None:
    from langgraph.checkpoint.lmdb.web import addresses

    with LmdbSaver(tmp_path / "store", sync="off") as saver, served(tmp_path / "store") as page:
        put(saver, "x" * 10_000_000)
        text = page.get("/")
        assert len(text) < 10_000
        (link,) = links(text, "row")
        assert len(page.get(link)) < 20_000
        addresses._long_ids.clear()
        assert len(page.get(link)) < 20_000


def test_hostile_values_are_escaped_and_folded(tmp_path: Path) -> None:
    long = "m" * 10_000_000
    with LmdbSaver(tmp_path / "store", sync="off") as saver, served(tmp_path / "store") as page:
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {HTML: graphs.HOSTILE, "long": long, "html": {HTML: [HTML]}}
        versions = dict.fromkeys(checkpoint["channel_values"], 1)
        checkpoint["channel_versions"] = versions
        config = saver.put(
            {"configurable": {"thread_id": "hostile", "checkpoint_ns": ""}},
            checkpoint,
            {"source": HTML, "step": 1},
            versions,
        )
        saver.put_writes(
            config, [(HTML, HTML), ("__error__", HTML), ("__interrupt__", [HTML])], HTML
        )
        text = page.get("/thread?thread=hostile")
        assert len(text) < 60_000
        assert "<img" not in text
        assert "<script>" not in text
        assert "\\x1b[2J" in text
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
        found = page.get(f"/search?q={quote('<SCRIPT>')}")
        assert rows(found) == ["hostile"]
        assert "<mark>&lt;script&gt;</mark>" in found
        for text in (found, page.get("/search?q=evil"), page.get("/search?q=mmm")):
            assert len(text) < 10_000
            assert "<script>" not in text
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
        text = page.get("/thread?thread=hostile")
        whole = next(
            html.unescape(link)
            for link in re.findall('href="(/value[^"]*)"', text)
            if "long" in link
        )
        answer = page.ask(whole)
        assert answer.text == long
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        for name in (HTML, "html"):
            answer = page.ask(f"/value?thread=hostile&part=channel&channel={quote(name)}")
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert "\x1b" not in answer.text
