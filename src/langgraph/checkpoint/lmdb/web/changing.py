"""Changes of a store: each asks first, in a form that only this page can send."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from langgraph.checkpoint.lmdb.errors import ReadOnlyError, UsageError
from langgraph.checkpoint.lmdb.views.pruning import prunable
from langgraph.checkpoint.lmdb.views.stores import config_of, find_step, thread_info
from langgraph.checkpoint.lmdb.web.addresses import decoded, link, number, params_of, thread_id_of
from langgraph.checkpoint.lmdb.web.rendering import render
from langgraph.checkpoint.lmdb.web.site import Site, site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Params = dict[str, str]

_LONGEST_FORM = 1 << 20
_KEPT = 10
_MOST_KEPT = 10**9


@dataclass(frozen=True)
class Change:
    """A change of a thread.

    Attributes:
        title: What the button says.
        template: Part of the form that is particular to the change.
        apply: Function that makes the change, and returns the link to continue at.
    """

    title: str
    apply: Callable[[Site, str, Params], str]


def ask(request: Request) -> Response:
    """Return the question before a change."""
    site, params = site_of(request), params_of(request)
    name, change = _change_of(request)
    thread_id = thread_id_of(site.saver, params)
    found = find_step(site.saver, thread_id, params.get("at"))
    kept = number(params, "keep", _KEPT, _MOST_KEPT) or 1
    info = thread_info(site.saver, thread_id)
    return render(
        request,
        "change.html",
        name=name,
        change=change,
        thread_id=thread_id,
        info=info,
        at=found.checkpoint["id"],
        step=found.metadata.get("step"),
        kept=kept,
        pruned=prunable(site.saver, thread_id, kept) if name == "prune" else 0,
        answers=params.get("interrupt"),
    )


async def apply(request: Request) -> Response:
    """Make a change whose form was sent."""
    site = site_of(request)
    _, change = _change_of(request)
    params = {**params_of(request), **decoded(await _body(request))}
    if not secrets.compare_digest(params.get("form", "").encode(), site.form_token.encode()):
        raise HTTPException(403, "The form is not of this page. Open the page again.")
    target = await run_in_threadpool(_applied, site, change, params)
    return RedirectResponse(target, 303)


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_FORM:
            raise HTTPException(413, "The form is too long.")
    return body


def _change_of(request: Request) -> tuple[str, Change]:
    site, name = site_of(request), request.path_params["name"]
    if name not in CHANGES:
        raise HTTPException(404)
    if not site.allow_changes:
        raise ReadOnlyError(
            "the page only reads", advice="Start langgraph-lmdb serve with --allow-changes."
        )
    return name, CHANGES[name]


def _applied(site: Site, change: Change, params: Params) -> str:
    thread_id = thread_id_of(site.saver, params)
    find_step(site.saver, thread_id, params.get("at"))  # raises the error if it is missing
    return change.apply(site, thread_id, params)


def _fork(site: Site, thread_id: str, params: Params) -> str:
    new = params.get("new", "")
    if not new:
        raise UsageError("the id of the new thread is missing", advice="Enter an id.")
    site.saver.fork(config_of(thread_id, params.get("at")), new)
    return link("/thread", thread=new)


def _delete(site: Site, thread_id: str, params: Params) -> str:  # noqa: ARG001
    site.saver.delete_thread(thread_id)
    return "/"


def _prune(site: Site, thread_id: str, params: Params) -> str:
    site.saver.prune([thread_id], keep_last=number(params, "keep", _KEPT, _MOST_KEPT) or 1)
    return link("/thread", thread=thread_id)


def _expire(site: Site, thread_id: str, params: Params) -> str:
    text = params.get("minutes", "").strip()
    try:
        minutes = float(text) if text else None
    except ValueError:
        raise UsageError(f"minutes must be a number or empty, got {text!r}") from None
    site.saver.set_ttl(thread_id, minutes)
    return link("/thread", thread=thread_id)


def _resume(site: Site, thread_id: str, params: Params) -> str:
    if site.resumptions.graph is None:
        raise UsageError(
            "the page has no graph to resume runs with",
            advice="Start langgraph-lmdb serve with --graph MODULE:NAME.",
        )
    interrupt_id = params.get("interrupt")
    answer = None if interrupt_id is None else params.get("answer", "")
    site.resumptions.start(thread_id, answer, interrupt_id)
    return link("/thread", thread=thread_id)


CHANGES = {
    "fork": Change("Fork", _fork),
    "prune": Change("Prune", _prune),
    "expire": Change("Set expiry", _expire),
    "delete": Change("Delete", _delete),
    "resume": Change("Resume", _resume),
}
