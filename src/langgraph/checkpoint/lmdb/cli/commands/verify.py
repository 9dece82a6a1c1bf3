"""`verify`: the problems of a store."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.checking import verify_folder
from langgraph.checkpoint.lmdb.cli import reports
from langgraph.checkpoint.lmdb.cli.options import Json, Store
from langgraph.checkpoint.lmdb.cli.progress import bar
from langgraph.checkpoint.lmdb.opening import folder_of, is_conninfo
from langgraph.checkpoint.lmdb.views.stores import open_store


def command(
    store: Store,
    repair: Annotated[bool, typer.Option("--repair", help="Repair the problems.")] = False,
    as_json: Json = False,
) -> int:
    """Check a store, and repair it.

    The pages of a folder are checked before LMDB opens the store. The exit status is 0 if the store
    has no problems or all are repaired, and 1 if it has problems.
    """
    with bar("verify", "threads") as show:
        if is_conninfo(store):
            with open_store(store, readonly=not repair) as saver:
                found = saver.verify(repair=repair, progress=show)
        else:
            found = verify_folder(folder_of(store, "verify"), repair=repair, progress=show)
    return reports.print_report(found, as_json)
