"""`compact`: unused space, returned to the file system."""

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, Store
from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.stores import open_store


def command(store: Store, as_json: Json = False) -> None:
    """Return unused space to the file system.

    The store may be in use. Its file keeps its length, and its free pages lose their blocks.
    """
    with open_store(store, readonly=False) as saver:
        freed = saver.compact()
    if as_json:
        output.print_json({"bytes": freed})
    else:
        output.show(output.line(f"freed {formats.size(freed)}"))
