"""The application: the routes of the page, and its answers to errors."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from langgraph.checkpoint.lmdb.errors import (
    CheckpointNotFoundError,
    LmdbSaverError,
    ReadOnlyError,
    RetryableError,
    ThreadExistsError,
    ThreadNotFoundError,
    UsageError,
)
from langgraph.checkpoint.lmdb.web import (
    changing,
    comparing,
    listing,
    measuring,
    reading,
    searching,
    values,
)
from langgraph.checkpoint.lmdb.web.guard import Guard
from langgraph.checkpoint.lmdb.web.rendering import live, render
from langgraph.checkpoint.lmdb.web.site import Site

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_STATUSES: tuple[tuple[type[LmdbSaverError], int], ...] = (
    (ThreadNotFoundError, 404),
    (CheckpointNotFoundError, 404),
    (ThreadExistsError, 409),
    (ReadOnlyError, 403),
    (UsageError, 400),
    (RetryableError, 503),
    (LmdbSaverError, 500),
)
"""Status of each error; the first class that fits."""

_log = logging.getLogger(__name__)


def create_app(site: Site) -> Starlette:
    """Return the application of a site."""
    handlers: Any = {
        HTTPException: _http_error,
        LmdbSaverError: _saver_error,
        Exception: _other_error,
    }
    app = Starlette(
        routes=[
            Route("/", live(listing.threads)),
            Route("/search", searching.search),
            Route("/thread", live(reading.thread)),
            Route("/compare", live(comparing.compare)),
            Route("/statistics", live(measuring.statistics)),
            Route("/value", values.value),
            Route("/change/{name}", changing.ask, methods=["GET"]),
            Route("/change/{name}", changing.apply, methods=["POST"]),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        ],
        middleware=[Middleware(Guard, site=site)],
        exception_handlers=handlers,
    )
    app.state.site = site
    return app


def _http_error(request: Request, error: HTTPException) -> Response:
    text = "There is nothing here." if error.status_code == 404 else str(error.detail)
    return render(request, "error.html", error.status_code, title=text, advice="")


def _saver_error(request: Request, error: LmdbSaverError) -> Response:
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    advice, error.advice = error.advice, ""
    return render(request, "error.html", status, title=str(error), advice=advice)


def _other_error(request: Request, error: Exception) -> Response:
    _log.error("%s failed: %r", request.url.path, error)
    title = "The page failed. The terminal of the server has the reason."
    return render(request, "error.html", 500, title=title, advice="")
