"""`copy`: a copy of a thread."""

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, NewThread, Store, Thread
from langgraph.checkpoint.lmdb.views.stores import find_step, open_store


def command(store: Store, thread: Thread, new_thread: NewThread, as_json: Json = False) -> None:
    """Copy a thread.

    The copy has all checkpoints, and shares their values with the thread.
    """
    with open_store(store, readonly=False) as saver:
        find_step(saver, thread)  # raises the error for a missing thread
        saver.copy_thread(thread, new_thread)
    if as_json:
        output.print_json({"thread_id": new_thread})
    else:
        output.show(output.line((new_thread, "bold"), f"  copied from {thread}"))
