"""`backup`: a copy of a store that is in use."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, Store
from langgraph.checkpoint.lmdb.cli.progress import bar
from langgraph.checkpoint.lmdb.views.stores import open_store


def command(
    store: Store,
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="New folder of the copy.", show_default=False),
    ],
    as_json: Json = False,
) -> None:
    """Copy a store that is in use to a new folder.

    To restore the copy, open it.
    """
    with open_store(store) as saver, bar("backup", "bytes") as show:
        saver.backup(target, show)
    if as_json:
        output.print_json({"path": target})
    else:
        output.show(output.line(f"copied to {target}"))
