"""`prune`: old checkpoints, deleted."""

from collections import Counter
from typing import Annotated

import typer

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.confirmation import confirm
from langgraph.checkpoint.lmdb.cli.options import DryRun, Json, Store, Yes
from langgraph.checkpoint.lmdb.views.stores import find_step, open_store, place_of


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

    The latest checkpoints keep their values and their pending writes.
    """
    with open_store(store) as saver:
        old = {thread: _old(saver, thread, keep_last) for thread in threads}
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


def _old(saver: LmdbSaver, thread: str, keep_last: int) -> int:
    """Return the number of checkpoints before the ones to keep."""
    find_step(saver, thread)  # raises the error for a missing thread
    found = saver.list({"configurable": {"thread_id": thread}}, skip_damaged=True)
    counts = Counter(place_of(one)["checkpoint_ns"] for one in found)
    return sum(max(count - keep_last, 0) for count in counts.values())
