"""`recover-pages`: what is left of a store with damaged pages."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.checking import recover_pages
from langgraph.checkpoint.lmdb.cli import reports
from langgraph.checkpoint.lmdb.cli.options import Json, Store
from langgraph.checkpoint.lmdb.opening import folder_of


def command(
    store: Store,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="Folder of the new store.", show_default=False)
    ],
    as_json: Json = False,
) -> int:
    """Copy the readable records of a store with damaged pages.

    Copies them to a new store, and repairs that. LMDB does not read the old store, which is not
    changed; no process may have it open. Lost records are reported as problems: the exit status is
    then 0 if the new store is sound, and 1 if it has problems.
    """
    return reports.print_report(recover_pages(folder_of(store, "recover-pages"), target), as_json)
