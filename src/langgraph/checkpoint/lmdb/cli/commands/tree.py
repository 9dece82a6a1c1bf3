"""`tree`: the checkpoints of a thread as branches."""

from langgraph.checkpoint.lmdb.cli import drawing, output
from langgraph.checkpoint.lmdb.cli.options import Json, Store, Thread
from langgraph.checkpoint.lmdb.views.stores import find_step, open_store
from langgraph.checkpoint.lmdb.views.trees import tree_of


def command(store: Store, thread: Thread, as_json: Json = False) -> None:
    """Draw the checkpoints of a thread as branches.

    The newest checkpoint is at the top. Subgraphs are drawn below the checkpoint that called them.
    """
    with open_store(store) as saver:
        trees = tree_of(saver, thread)
        if not trees:
            find_step(saver, thread)  # raises the error for a missing thread
    if as_json:
        for tree in trees:
            output.print_json({"thread_id": thread, **tree.to_dict()})
        return
    output.show(*(line for tree in trees for line in drawing.draw(tree)))
