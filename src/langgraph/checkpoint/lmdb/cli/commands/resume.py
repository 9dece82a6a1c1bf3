"""`resume`: one run, continued where it stopped."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli import resumptions
from langgraph.checkpoint.lmdb.cli.options import Graph, Json, Store, Thread
from langgraph.checkpoint.lmdb.opening import open_existing
from langgraph.checkpoint.lmdb.workflows.answers import resume_with_answer
from langgraph.checkpoint.lmdb.workflows.graph_loading import load_graph


def command(
    store: Store,
    thread: Thread,
    graph: Graph,
    answer: Annotated[
        str | None,
        typer.Option("--answer", metavar="JSON", help="Answer to an interrupt: JSON, or a text."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Resume one run under its lock.

    The exit status is 1 if the run could not be resumed.
    """
    built = load_graph(graph)
    with open_existing(store, readonly=False) as saver:  # with the types of the graph
        return resumptions.report([resume_with_answer(thread, saver, built, answer)], as_json)
