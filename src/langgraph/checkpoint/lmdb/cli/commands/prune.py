"""`prune`: old checkpoints, deleted."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.confirmation import confirm
from langgraph.checkpoint.lmdb.cli.options import DryRun, Json, Store, Yes
from langgraph.checkpoint.lmdb.views.pruning import prunable
from langgraph.checkpoint.lmdb.views.stores import find_step, open_store


def command(
    store: Store,
    threads: Annotated[
        list[str],
        typer.Argument(metavar="THREAD", help="Ids of the threads.", show_default=False),
    ],
    keep_last: Annotated[
        int,
        typer.Option("--keep-last", min=1, metavar="N", help="Checkpoints of each namespace."),
    ] = 1,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete old checkpoints of threads.

    The latest checkpoints keep their values and their pending writes. The namespace of a subgraph
    call is deleted with the checkpoint that called it.
    """
    with open_store(store) as saver:
        old = {}
        for thread in threads:
            find_step(saver, thread)  # raises the error for a missing thread
            old[thread] = prunable(saver, thread, keep_last)
    if not dry_run:
        count = sum(old.values())
        confirm(f"Delete {count} checkpoints of {len(threads)} threads?", yes=yes)
        with open_store(store, readonly=False) as saver:
            saver.prune(threads, keep_last=keep_last)
    verb = "would delete" if dry_run else "deleted"
    for thread, count in old.items():
        if as_json:
            output.print_json({"thread_id": thread, "checkpoints": count, "dry_run": dry_run})
        else:
            output.show(output.line((thread, "bold"), f"  {verb} {count} checkpoints"))
