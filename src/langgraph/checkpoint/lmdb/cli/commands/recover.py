"""`recover`: the runs that a crash interrupted, continued."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli import resumptions
from langgraph.checkpoint.lmdb.cli.options import Graph, Json, Store
from langgraph.checkpoint.lmdb.cli.progress import bar
from langgraph.checkpoint.lmdb.workflows import recover
from langgraph.checkpoint.lmdb.workflows.graph_loading import load_graph


def command(
    store: Store,
    graph: Graph,
    min_age: Annotated[
        float, typer.Option("--min-age", metavar="MINUTES", help="Idle time, at least.")
    ] = 5,
    max_age: Annotated[
        float, typer.Option("--max-age", metavar="HOURS", help="Idle time, at most.")
    ] = 24,
    workers: Annotated[
        int, typer.Option("--workers", min=1, metavar="N", help="Runs at a time.")
    ] = 4,
    as_json: Json = False,
) -> int:
    """Resume the runs that a crash interrupted.

    Leaves runs alone that are running, that failed, or that wait for an answer. The exit status is
    1 if a run could not be resumed.
    """
    with bar("recover", "runs") as show:
        results = recover(
            store,
            load_graph(graph),
            min_age_minutes=min_age,
            max_age_hours=max_age,
            max_workers=workers,
            progress=lambda done, total, _: show(done, total),
        )
    return resumptions.report(results, as_json)
