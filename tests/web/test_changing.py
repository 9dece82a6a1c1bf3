"""Changes from the page: what each asks, what it does, and what it refuses."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.web.resumptions import RUNNING, Resumptions
from tests.views import graphs
from tests.web.conftest import Client, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("fork", "prune", "expire", "delete", "resume")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a thread of each graph."""
    with LmdbSaver(tmp_path / "store", sync="off") as saver:
        graphs.fill(saver)
        graphs.asked(saver, "asked")
    return tmp_path / "store"


@pytest.fixture
def page(store: Path) -> Iterator[Client]:
    """A page that may change that store."""
    with served(store, allow_changes=True) as client:
        yield client


def send(page: Client, name: str, **fields: str) -> tuple[int, str]:
    """Open the form of a change and send it; return the status and the link that follows."""
    thread = {
        key: fields[key] for key in ("thread", "hash", "at", "keep", "interrupt") if key in fields
    }
    form = page.get(f"/change/{name}?{urlencode(thread)}")
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="(.*?)"', form))
    (action,) = re.findall(r'method="post" action="(.*?)"', form)
    body = urlencode({**{key: html.unescape(text) for key, text in hidden.items()}, **fields})
    answer = page.ask(html.unescape(action), method="POST", body=body, Origin=page.base)
    return answer.status, answer.headers.get("location", answer.text)


def threads(store: Path) -> dict[str, Any]:
    """Return the threads of a store by id."""
    with LmdbSaver(store, readonly=True) as saver:
        return {info.thread_id: info for info in saver.threads()}


def test_a_fork_begins_at_the_step(page: Client, store: Path) -> None:
    text = page.get("/thread?thread=failed&at=0")
    (link,) = re.findall(r'href="(/change/fork[^"]*)"', text)
    step = re.findall(r"at=([\w-]+)", link)[0]
    assert "from step 0?" in page.get(html.unescape(link))
    status, target = send(page, "fork", thread="failed", at=step, new="again")
    assert (status, target) == (303, "/thread?thread=again")
    assert threads(store)["again"].step == 0
    assert send(page, "fork", thread="failed", at=step, new="chat")[0] == 409
    assert send(page, "fork", thread="failed", at=step, new="")[0] == 400


def test_a_thread_is_deleted_after_the_question(page: Client, store: Path) -> None:
    assert "This cannot be undone" in page.get("/change/delete?thread=chat")
    assert "chat" in threads(store)
    assert send(page, "delete", thread="chat") == (303, "/")
    assert "chat" not in threads(store)
    page.get("/change/delete?thread=chat", 404)


def test_a_prune_says_how_much_it_deletes(page: Client, store: Path) -> None:
    assert "Delete 7 of 10 checkpoints" in page.get("/change/prune?thread=chat&keep=3")
    assert "nothing to delete" in page.get("/change/prune?thread=chat&keep=10")
    assert send(page, "prune", thread="chat", keep="3") == (303, "/thread?thread=chat")
    assert threads(store)["chat"].checkpoints == 3


def test_an_expiry_is_set_and_removed(page: Client, store: Path) -> None:
    assert send(page, "expire", thread="chat", minutes="60.5")[0] == 303
    info = threads(store)["chat"]
    assert round((info.expires - info.updated).total_seconds()) == 3630
    assert send(page, "expire", thread="chat", minutes=" ")[0] == 303
    assert threads(store)["chat"].expires is None
    for wrong in ("soon", "-1", "nan"):
        assert send(page, "expire", thread="chat", minutes=wrong)[0] == 400, wrong


def answered(page: Client, path: str) -> str:
    """Follow a page until the run that it resumes has ended; return its text."""
    while True:
        mark = page.ask(path).headers["etag"]
        text = page.get(path)
        if RUNNING not in text:
            return text
        while page.ask(path, If_None_Match=mark).status == 304:
            pass


def test_an_interrupt_is_answered_and_a_failed_run_resumed(store: Path) -> None:
    builder = StateGraph(graphs.State).add_node("ask", lambda _: {"log": [interrupt("Publish?")]})
    builder.add_edge(START, "ask")
    with served(store, allow_changes=True, graph=builder) as page:
        text = page.get("/thread?thread=asked")
        (link,) = re.findall(r'href="(/change/resume[^"]*)"', text)
        interrupt_id = re.findall(r"interrupt=(\w+)", link)[0]
        sent = send(
            page, "resume", thread="asked", interrupt=interrupt_id, answer='{"publish": true}'
        )
        assert sent == (303, "/thread?thread=asked")
        text = html.unescape(answered(page, "/thread?thread=asked"))
        assert "the run was resumed and is complete" in text
        assert '"publish": true' in text
        assert "/change/resume" not in text
        assert "/change/resume" in page.get("/thread?thread=failed")
        assert "/change/resume" not in page.get("/thread?thread=failed&at=0")
        assert send(page, "resume", thread="failed")[0] == 303
        text = html.unescape(answered(page, "/thread?thread=failed"))
        assert "the run was" in text


def test_a_resumption_reports_what_it_could_not_do(store: Path) -> None:
    builder = StateGraph(graphs.State).add_node("work", lambda _: {}).add_edge(START, "work")
    runs = Resumptions(str(store), builder)
    for thread_id in ("missing", "chat"):
        runs.start(thread_id, None, None)
    while RUNNING in runs.mark:
        pass
    assert runs.outcome("missing") == "the run was not resumed: the thread does not exist"
    assert runs.outcome("chat") == "the run was not resumed: it is complete"
    assert runs.outcome("other") is None


def test_a_page_without_a_graph_resumes_nothing(page: Client) -> None:
    assert "/change/resume" not in page.get("/thread?thread=asked")
    assert send(page, "resume", thread="asked")[0] == 400


@pytest.mark.parametrize("name", NAMES)
def test_a_page_that_only_reads_changes_nothing(page_of_filled: Client, name: str) -> None:
    assert "/change/" not in page_of_filled.get("/thread?thread=failed")
    path = f"/change/{name}?thread=failed"
    assert "--allow-changes" in page_of_filled.get(path, 403)
    body = urlencode({"form": page_of_filled.site.form_token, "new": "again"})
    assert page_of_filled.ask(path, method="POST", body=body).status == 403


@pytest.mark.parametrize("name", NAMES)
def test_forms_of_other_pages_are_refused(page: Client, store: Path, name: str) -> None:
    before = threads(store)
    path = f"/change/{name}?thread=chat"
    fields = {"new": "again", "keep": "1", "minutes": "1", "answer": "yes"}
    own = {**fields, "form": page.site.form_token}
    for body in (fields, {**fields, "form": ""}, {**fields, "form": "wrong"}):
        assert page.ask(path, method="POST", body=urlencode(body)).status == 403
    for headers in ({"Origin": "null"}, {"Origin": "http://evil.example"}):
        assert page.ask(path, method="POST", body=urlencode(own), **headers).status == 403
    assert page.ask(path, method="POST", body=urlencode(own), token=False).status == 401
    assert page.ask(path, method="POST", body="a" * 2_000_000).status == 413
    assert page.ask(path, method="GET").status == 200
    assert threads(store) == before


def test_unknown_changes_do_not_exist(page: Client) -> None:
    assert "There is nothing here" in page.get("/change/explode?thread=chat", 404)
