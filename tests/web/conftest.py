"""A page that is served, a client that asks it, and a browser that shows it."""

from __future__ import annotations

import http.client
import os
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.views.stores import open_store
from langgraph.checkpoint.lmdb.web.server import link, listening, server_of
from langgraph.checkpoint.lmdb.web.site import Site
from tests.views import graphs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

_SECONDS = 60
"""Longest wait for a condition, on a busy machine."""
expect.set_options(timeout=_SECONDS * 1000)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Client:
    """A client of a served page, which has the token."""

    site: Site

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: str | None = None,
        token: bool = True,
        **headers: str,
    ) -> Answer:
        """Return the answer to a request. Names of headers have underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            named["Cookie"] = f"langgraph-lmdb-{self.site.port}={self.site.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=_SECONDS)
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read().decode())
        finally:
            connection.close()

    def get(self, path: str, status: int = 200) -> str:
        """Return the text of a page."""
        answer = self.ask(path)
        assert answer.status == status, (answer.status, answer.text[:2000])
        assert "Traceback" not in answer.text
        return answer.text

    @property
    def link(self) -> str:
        """Link of the page, with its token."""
        return link(self.site)

    @property
    def base(self) -> str:
        """Beginning of each address of the page."""
        return f"http://127.0.0.1:{self.site.port}"


@contextmanager
def served(store: Path | str, **options: Any) -> Iterator[Client]:
    """Serve a store in a thread of this process."""
    readonly = not options.get("allow_changes", False)
    with (
        listening("127.0.0.1", 0) as listener,
        open_store(str(store), readonly=readonly) as saver,
    ):
        port = listener.getsockname()[1]
        site = Site(saver, str(store), "127.0.0.1", port, "secret-token", **options)
        server = server_of(site)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Client(site)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a thread of each graph, which tests only read."""
    path = tmp_path_factory.mktemp("filled") / "store"
    with LmdbSaver(path, sync="off") as saver:
        graphs.fill(saver)
    return path


@pytest.fixture(scope="session")
def page_of_filled(filled: Path) -> Iterator[Client]:
    """The page of that store."""
    with served(filled) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window.

    It ends with its module: while playwright runs, its thread has a running event loop, and other
    tests in the same process could not start one.
    """
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def shown(
    browser: Browser, client: Client, path: str = "", width: int = 1280, scheme: Any = "light"
) -> Iterator[Page]:
    """Open the link of a page, and then a path, in a browser that fails for any script error."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.set_default_timeout(_SECONDS * 1000)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    try:
        page.goto(client.link)
        if path:
            page.goto(client.base + path)
        yield page
        assert problems == []
    finally:
        context.close()
