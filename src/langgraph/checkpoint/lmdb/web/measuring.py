"""The statistics of a store, with plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.views.statistics import statistics_of
from langgraph.checkpoint.lmdb.web.addresses import params_of
from langgraph.checkpoint.lmdb.web.plots import by_size, growth, shares
from langgraph.checkpoint.lmdb.web.rendering import render
from langgraph.checkpoint.lmdb.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_FEW = 1000
"""Threads that are read without being asked."""


def statistics(request: Request) -> Response:
    """Return the totals of the store, and plots if it is small or they are asked for."""
    site, params = site_of(request), params_of(request)
    totals = site.saver.stats()
    with_values = "values" in params
    found = None
    if totals.threads <= _FEW or with_values or "plots" in params:
        found = site.memory.get(statistics_of, with_values)
    return render(
        request,
        "statistics.html",
        totals=totals,
        found=found,
        plots=[] if found is None else [*growth(found), by_size(found)],
        shares=[] if found is None else shares(found),
    )
