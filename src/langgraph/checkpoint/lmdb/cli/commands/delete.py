"""`delete`: threads, deleted."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.confirmation import confirm
from langgraph.checkpoint.lmdb.cli.options import DryRun, Json, Store, Yes
from langgraph.checkpoint.lmdb.views.stores import find_step, open_store


def command(
    store: Store,
    threads: Annotated[
        list[str],
        typer.Argument(metavar="THREAD", help="Ids of the threads.", show_default=False),
    ],
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete threads."""
    with open_store(store) as saver:
        for thread in threads:
            find_step(saver, thread)  # raises the error for a missing thread
    if not dry_run:
        confirm(f"Delete {', '.join(threads)}?", yes=yes)
        with open_store(store, readonly=False) as saver:
            for thread in threads:
                saver.delete_thread(thread)
    for thread in threads:
        if as_json:
            output.print_json({"thread_id": thread, "dry_run": dry_run})
        else:
            output.show(
                output.line((thread, "bold"), "  would be deleted" if dry_run else "  deleted")
            )
