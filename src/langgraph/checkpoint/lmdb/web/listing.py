"""The list of threads, by pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from langgraph.checkpoint.lmdb.errors import ThreadNotFoundError
from langgraph.checkpoint.lmdb.views.threads import (
    LISTED_STATES,
    SORTS,
    ThreadQuery,
    count_states,
    list_threads,
)
from langgraph.checkpoint.lmdb.web.addresses import link, number, params_of, thread_id_of
from langgraph.checkpoint.lmdb.web.rendering import render
from langgraph.checkpoint.lmdb.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_ROWS = 50
_MOST_ROWS = 500
_MOST_COUNTED = 99


def threads(request: Request) -> Response:
    """Return a page of the list: all threads, or those in a state or with a prefix, in an order."""
    site, params = site_of(request), params_of(request)
    state = next((name for name in LISTED_STATES if name == params.get("state")), None)
    prefix = params.get("q", "")
    sort = params.get("sort", "")
    sort = sort if sort in SORTS else SORTS[0]
    is_reversed = "reverse" in params
    rows = number(params, "rows", _ROWS, _MOST_ROWS) or _ROWS
    is_continued = "thread" in params or "hash" in params
    query = ThreadQuery(
        states=[] if state is None else [state],
        prefix=prefix or None,
        sort=sort,
        reverse=is_reversed,
        limit=rows + 1,
        after=thread_id_of(site.saver, params) if is_continued else None,
    )
    try:
        found = list(list_threads(site.saver, query))
    except ThreadNotFoundError:
        if not is_continued:
            raise
        again = link("/", q=prefix, state=state, sort=params.get("sort"), reverse=is_reversed and 1)
        return RedirectResponse(again, 303)
    return render(
        request,
        "threads.html",
        threads=found[:rows],
        has_more=len(found) > rows,
        is_continued=is_continued,
        state=state,
        prefix=prefix,
        sort=sort,
        is_reversed=is_reversed,
        states=LISTED_STATES,
        counts=count_states(site.saver, _MOST_COUNTED),
        most=_MOST_COUNTED,
        total=site.saver.stats().threads,
    )
