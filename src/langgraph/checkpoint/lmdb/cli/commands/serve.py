"""`serve`: a page in the browser."""

import sys
from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, Store
from langgraph.checkpoint.lmdb.errors import UsageError


def command(
    store: Store,
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="0: any free port.")
    ] = 8642,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Fork, prune, expire and delete threads.")
    ] = False,
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph", metavar="MODULE:NAME", help="Graph to resume runs with, on the page."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a store on a page in the browser, until Ctrl-C.

    Prints the link of the page. The page only reads, unless --allow-changes is given.
    """
    if graph is not None and not allow_changes:
        raise UsageError(
            "--graph resumes runs, which changes the store", advice="Pass --allow-changes."
        )
    try:
        from langgraph.checkpoint.lmdb.web.server import serve  # noqa: PLC0415 - the extra `web`
    except ImportError as error:
        raise UsageError(
            f"the page needs the extra web ({error})",
            advice='Run: pip install "langgraph-lmdb[cli,web]"',
        ) from error
    built = None
    if graph is not None:
        from langgraph.checkpoint.lmdb.workflows.graph_loading import load_graph  # noqa: PLC0415

        built = load_graph(graph)

    def announce(link: str) -> None:
        if as_json:
            output.print_json({"link": link})
        else:
            print(link)
        sys.stdout.flush()

    serve(store, announce, host=host, port=port, allow_changes=allow_changes, graph=built)
