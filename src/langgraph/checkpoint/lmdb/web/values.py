"""Whole values, as plain text: what a page folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.escape import escape_lines
from langgraph.checkpoint.lmdb.views.messages import conversation
from langgraph.checkpoint.lmdb.views.steps import StepView, step_of
from langgraph.checkpoint.lmdb.views.stores import find_step
from langgraph.checkpoint.lmdb.web.addresses import number, params_of, thread_id_of
from langgraph.checkpoint.lmdb.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_MOST = 10**9


def value(request: Request) -> Response:
    """Return a value of a step: a channel, a message, a write, an interrupt, or the error."""
    site, params = site_of(request), params_of(request)
    thread_id = thread_id_of(site.saver, params)
    found = find_step(site.saver, thread_id, params.get("at"), params.get("ns", ""))
    try:
        text = _text(step_of(site.saver, found), params)
    except (LookupError, StopIteration):
        raise HTTPException(404) from None
    return PlainTextResponse(escape_lines(text))


def _text(step: StepView, params: dict[str, str]) -> str:
    part, index = params.get("part"), number(params, "index", 0, _MOST)
    if part == "write":
        return formats.pretty(step.writes[index].value)
    if part == "interrupt":
        return formats.pretty(step.interrupts[index].value)
    if part == "error":
        return step.error or ""
    if part == "metadata":
        return formats.pretty(step.metadata)
    channel = next(one for one in step.channels if one.name == params.get("channel", ""))
    if part == "message":
        return (conversation(channel.value) or [])[index].text
    if part == "delta":
        return formats.pretty((channel.writes or ())[index])
    return formats.pretty(channel.value)
