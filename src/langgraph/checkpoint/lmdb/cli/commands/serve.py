"""`serve`: a page in the browser."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli.options import Store
from langgraph.checkpoint.lmdb.errors import UsageError


def command(
    store: Store,
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="0: any free port.")
    ] = 8642,
) -> None:
    """Show a store on a page in the browser, until Ctrl-C.

    Prints the link of the page. The page is read-only.
    """
    try:
        from langgraph.checkpoint.lmdb.web.server import serve  # noqa: PLC0415 - the extra `web`
    except ImportError as error:
        raise UsageError(
            f"the page needs the extra web ({error})",
            advice='Run: pip install "langgraph-lmdb[cli,web]"',
        ) from error
    serve(store, host=host, port=port)
