"""The page in a real browser: every view, the keyboard, live updates, hostile content."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from langgraph.graph import START, StateGraph
from playwright.sync_api import expect

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.views import graphs
from tests.web.conftest import served, shown
from tests.web.test_pages import put

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.web.conftest import Client

ROOT = Path(__file__).parents[2]
HTML = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script>"
VIEWS = (
    "/",
    "/?state=failed",
    "/?sort=size",
    "/search?q=o",
    "/thread?thread=chat",
    "/thread?thread=waiting",
    "/thread?thread=failed",
    "/thread?thread=forked",
    "/thread?thread=forked&compare=1",
    "/thread?thread=delta",
    "/compare?thread=forked&a=0&b=1",
    "/thread?thread=chat&top=3",
    "/statistics?values=1",
)
LOW_CONTRASTS = (Path(__file__).parent / "contrast.js").read_text("utf-8")
WRITER = """
import sys
from langgraph.checkpoint.lmdb import LmdbSaver
from tests.views import graphs
with LmdbSaver(sys.argv[1]) as saver:
    for thread_id in sys.argv[2:]:
        graphs.asked(saver, thread_id)
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view_fits_and_can_be_read(
    browser: Browser, page_of_filled: Client, width: int, scheme: str
) -> None:
    with shown(browser, page_of_filled, width=width, scheme=scheme) as page:
        assert "token" not in page.url
        for view in VIEWS:
            page.goto(page_of_filled.base + view)
            expect(page.locator("h1")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, view
            page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            assert page.evaluate(LOW_CONTRASTS) == [], view


def test_the_keyboard_alone_leads_through_the_page(
    browser: Browser, page_of_filled: Client
) -> None:
    with shown(browser, page_of_filled) as page:
        page.keyboard.press("/")
        expect(page.locator("#search")).to_be_focused()
        page.keyboard.type("fork")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("q=fork"))
        expect(page.locator("[data-row]")).to_have_count(1)
        page.keyboard.press("j")
        expect(page.locator("[data-row]")).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("/thread"))
        chosen = page.locator("[data-step][aria-current]")
        expect(chosen).to_have_count(1)
        latest = chosen.get_attribute("data-step")
        page.keyboard.press("ArrowDown")
        expect(page.locator("#step")).not_to_have_attribute("data-chosen", latest or "")
        second = chosen.get_attribute("data-step")
        assert second != latest
        assert f"at={second}" in page.url
        page.keyboard.press("ArrowLeft")
        parent = page.locator(f"[data-step='{second}']").get_attribute("data-parent") or ""
        expect(page.locator("#step")).to_have_attribute("data-chosen", parent)
        page.keyboard.press("Home")
        expect(page.locator("#step")).to_have_attribute("data-chosen", latest or "")
        page.go_back()
        expect(page.locator("#step")).to_have_attribute("data-chosen", parent)
        expect(chosen).to_have_attribute("data-step", parent)
        page.keyboard.press("c")
        expect(page.locator(".sides")).to_be_visible()


def test_clicks_choose_and_compare_steps(browser: Browser, page_of_filled: Client) -> None:
    with shown(browser, page_of_filled, "/thread?thread=failed") as page:
        steps = page.locator("[data-step]")
        steps.nth(1).click()
        first = steps.nth(1).get_attribute("data-step") or ""
        expect(page.locator("#step")).to_have_attribute("data-chosen", first)
        page.get_by_text("Compare with…").click()
        page.wait_for_url(re.compile("compare="))
        steps.nth(0).click()
        expect(page.locator(".sides h2")).to_have_text(["Step 0", "Step 1 failed"])


def test_the_page_follows_another_process(browser: Browser, tmp_path: Path) -> None:
    store = tmp_path / "store"
    LmdbSaver(store).close()
    with served(store) as client, shown(browser, client) as page:
        expect(page.get_by_text("no threads yet")).to_be_visible()
        command = [sys.executable, "-c", WRITER, str(store)]
        subprocess.run([*command, "first", "second"], check=True, cwd=ROOT)
        expect(page.locator("[data-row]")).to_have_text(["second", "first"])
        expect(page.locator(".tabs .waiting b")).to_have_text("2")
        page.get_by_text("first").click()
        page.wait_for_url(re.compile("/thread"))
        expect(page.locator("[data-step]")).to_have_count(2)
        with LmdbSaver(store) as saver:
            graphs.answered(saver, "first")
        expect(page.locator("h2 .state")).to_have_text("complete")
        assert page.locator("[data-step]").count() > 2


def test_a_list_fills_while_one_scrolls(browser: Browser, tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver, served(tmp_path / "store") as client:
        for number in range(120):
            put(saver, f"thread {number}")
        with shown(browser, client) as page:
            rows = page.locator("[data-row]")
            expect(rows).to_have_count(50)
            for count in (100, 120):
                rows.last.scroll_into_view_if_needed()
                expect(rows).to_have_count(count)
            put(saver, "newest")
            expect(rows.first).to_have_text("newest")
            assert rows.count() == 120


def test_a_search_reads_on_until_it_finds(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langgraph.checkpoint.lmdb.views.search._THREADS", 5)
    with LmdbSaver(tmp_path / "store", sync="off") as saver, served(tmp_path / "store") as client:
        put(saver, "oldest", {"note": "A needle, at last."})
        for number in range(30):
            put(saver, f"thread {number}", {"note": "hay"})
        with shown(browser, client) as page:
            page.keyboard.press("/")
            page.keyboard.type("NEEDLE")
            page.get_by_role("button", name="Find in values").click()
            expect(page.locator("[data-row]")).to_have_text(["oldest"])
            expect(page.locator("mark")).to_have_text(["needle"])
            page.locator("#search").fill("nothing")
            page.get_by_role("button", name="Find in values").click()
            expect(page.get_by_text("No value has this text")).to_be_visible()


def test_a_failed_run_is_found_forked_and_resumed(browser: Browser, tmp_path: Path) -> None:
    """The way of a user: which run failed, what did its last step change, try again before it."""
    builder = StateGraph(graphs.State).add_node("prepare", lambda _: {"log": ["prepared again"]})
    builder.add_node("publish", lambda _: {"log": ["published"]})
    builder.add_edge(START, "prepare").add_edge("prepare", "publish")
    with LmdbSaver(tmp_path / "store") as saver:
        graphs.fill(saver)
    with (
        served(tmp_path / "store", allow_changes=True, graph=builder) as client,
        shown(browser, client) as page,
    ):
        page.locator(".tabs .failed").click()
        page.get_by_role("link", name="failed", exact=True).and_(page.locator("[data-row]")).click()
        expect(page.locator("#changes")).to_contain_text("prepared")
        expect(page.locator(".card.failed")).to_contain_text("no token")
        page.locator("[data-step]").nth(1).click()
        expect(page.locator("h2")).to_have_text("Step 0")
        page.get_by_text("Fork from here…").click()
        page.locator("#new").fill("again")
        assert page.evaluate(LOW_CONTRASTS) == []
        page.get_by_role("button", name="Fork").click()
        expect(page.locator("h1")).to_contain_text("again")
        page.get_by_text("Resume…").click()
        page.get_by_role("button", name="Resume").click()
        expect(page.locator("#step [role=status]")).to_have_text(
            "the run was resumed and is complete"
        )
        expect(page.locator("h2 .state")).to_have_text("complete")
        page.get_by_text("Delete…").click()
        page.get_by_role("button", name="Delete").click()
        expect(page.locator("[data-row]").get_by_text("again")).to_have_count(0)


def test_hostile_content_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver, served(tmp_path / "store") as client:
        put(saver, HTML, {HTML: HTML, "long": "m" * 10_000_000, "controls": graphs.HOSTILE})
        with shown(browser, client) as page:
            row = page.locator("[data-row]")
            expect(row).to_contain_text("<img src=x")
            row.click()
            expect(page.locator("h1")).to_contain_text("<img src=x")
            page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            expect(page.locator("body")).to_contain_text("9,998,000 more characters")
            assert page.locator("img").count() == 0
            assert page.title().startswith("<img")


def test_the_page_works_without_a_script(browser: Browser, page_of_filled: Client) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_of_filled.link)
    page.get_by_text("forked").click()
    page.locator("[data-step]").nth(3).click()
    expect(page.locator("h2")).to_have_text("Step 2")
    context.close()
