"""The search in the values of the latest checkpoints, by pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from langgraph.checkpoint.lmdb.errors import ThreadNotFoundError
from langgraph.checkpoint.lmdb.views.search import SearchPage, search_page
from langgraph.checkpoint.lmdb.web.addresses import link, params_of, thread_id_of
from langgraph.checkpoint.lmdb.web.rendering import render
from langgraph.checkpoint.lmdb.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_ROWS = 50


def search(request: Request) -> Response:
    """Return a page of the threads whose values have a text, in capital or small letters."""
    site, params = site_of(request), params_of(request)
    text = params.get("q", "")
    page = SearchPage([], None)
    if text:
        is_continued = "thread" in params or "hash" in params
        after = thread_id_of(site.saver, params) if is_continued else None
        pattern = re.compile(re.escape(text), re.IGNORECASE)
        try:
            page = search_page(site.saver, pattern, after, _ROWS)
        except ThreadNotFoundError:
            return RedirectResponse(link("/search", q=text), 303)
    return render(request, "search.html", text=text, threads=page.threads, last=page.last)
