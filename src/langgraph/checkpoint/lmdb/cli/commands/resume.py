"""`resume`: one run, continued where it stopped."""

import json
from typing import Annotated, Any

import typer

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.cli import resumptions
from langgraph.checkpoint.lmdb.cli.options import Graph, Json, Store, Thread
from langgraph.checkpoint.lmdb.views.stores import open_store
from langgraph.checkpoint.lmdb.workflows import DurableWorkflow, resume_workflow


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
    built = resumptions.load_graph(graph)
    open_store(store).close()  # a store is never created
    with LmdbSaver(store) as saver:  # with the types of the graph
        workflow = DurableWorkflow(built, saver)

        def resume(thread_id: str) -> Any:
            return workflow.resume(thread_id, _command(answer))

        return resumptions.report([resume_workflow(thread, saver, resume)], as_json)


def _command(answer: str | None) -> Any:
    if answer is None:
        return None
    from langgraph.types import Command  # noqa: PLC0415 - the graph has imported it

    try:
        return Command(resume=json.loads(answer))
    except ValueError:
        return Command(resume=answer)
