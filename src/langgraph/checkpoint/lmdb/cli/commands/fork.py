"""`fork`: a new thread from a checkpoint."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, NewThread, Store, Thread
from langgraph.checkpoint.lmdb.views.stores import find_address, open_store


def command(
    store: Store,
    thread: Thread,
    new_thread: NewThread,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="CHECKPOINT", help="Checkpoint; by default the latest."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a thread from a checkpoint of another one.

    The new thread has the checkpoint and its ancestors, and shares their values.
    """
    with open_store(store, readonly=False) as saver:
        found = find_address(saver, thread, at)
        saver.fork(found.config, new_thread)
    checkpoint_id = found.checkpoint["id"]
    if as_json:
        output.print_json({"thread_id": new_thread, "checkpoint_id": checkpoint_id})
    else:
        output.show(output.line((new_thread, "bold"), f"  forked at {checkpoint_id}"))
