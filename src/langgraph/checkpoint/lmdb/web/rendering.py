"""Rendering: templates whose every value is escaped, and pages that say when they have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.changes import mark_of
from langgraph.checkpoint.lmdb.views.diffs import Words
from langgraph.checkpoint.lmdb.views.escape import escape, escape_lines
from langgraph.checkpoint.lmdb.views.messages import message
from langgraph.checkpoint.lmdb.web.addresses import link, thread_fields
from langgraph.checkpoint.lmdb.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request

    View = Callable[[Request], Response]

FOLDED = 2000
"""Characters of a text before it is folded."""
AROUND = 80
"""Characters beside a text that was searched for."""
_CONTEXT = 120
"""Characters of an unchanged text that are shown beside a change."""


def render(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """Return a page made of a template."""
    text = _TEMPLATES.get_template(template).render(site=site_of(request), **context)
    return HTMLResponse(text, status)


def live(view: View) -> View:
    """Return a view that answers 304 if the store has not changed since the page was made.

    The script of the page asks for it again and again, and replaces what has changed.
    """

    def answer(request: Request) -> Response:
        mark = _mark(request)
        if request.headers.get("if-none-match") == mark:
            response = Response(status_code=304)
        else:
            response = view(request)
        response.headers["ETag"] = mark
        return response

    return answer


def _mark(request: Request) -> str:
    site = site_of(request)
    mark = repr((mark_of(site.saver), site.resumptions.mark, request.scope["query_string"]))
    return f'"{hashlib.sha256(mark.encode()).hexdigest()[:32]}"'


def _visible(value: Any) -> Any:
    """Return a value of a template with visible control characters; escaping comes after this."""
    return (
        escape_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value
    )


def _shortened(value: object, width: int) -> str:
    """Return a text on one line, cut at a width."""
    text = str(value)
    return escape(text[:width]) + ("…" if len(text) > width else "")


def _changed_words(words: Words) -> Iterator[tuple[str, str]]:
    """Yield the words of two texts, the middle of long texts that both have left out."""
    for kind, text in words:
        if kind == "same" and len(text) > 3 * _CONTEXT:
            yield kind, f"{text[:_CONTEXT]} … {text[-_CONTEXT:]}"
        else:
            yield kind, text


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(link=link, FOLDED=FOLDED, AROUND=AROUND)
    environment.filters.update(
        changed_words=_changed_words,
        clock=lambda time: formats.moment(time)[-8:],
        count=lambda number: f"{number:,}",
        fields=thread_fields,
        message=message,
        moment=formats.moment,
        pretty=formats.pretty,
        short_id=formats.short_id,
        shortened=_shortened,
        size=formats.size,
    )
    return environment


_TEMPLATES = _environment()
