"""Two steps side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.views.diffs import diff
from langgraph.checkpoint.lmdb.views.steps import step_of
from langgraph.checkpoint.lmdb.views.stores import find_step
from langgraph.checkpoint.lmdb.web.addresses import params_of, thread_id_of
from langgraph.checkpoint.lmdb.web.rendering import render
from langgraph.checkpoint.lmdb.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def compare(request: Request) -> Response:
    """Return two steps of a namespace, by default the latest, with what they hold differently."""
    site, params = site_of(request), params_of(request)
    thread_id, namespace = thread_id_of(site.saver, params), params.get("ns", "")
    left = step_of(site.saver, find_step(site.saver, thread_id, params.get("a"), namespace))
    right = step_of(site.saver, find_step(site.saver, thread_id, params.get("b"), namespace))
    return render(
        request,
        "compare.html",
        thread_id=thread_id,
        namespace=namespace,
        left=left,
        right=right,
        changes=diff(left, right),
    )
