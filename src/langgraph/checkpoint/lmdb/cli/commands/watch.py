"""`watch`: the threads of a store as they change."""

import threading
from typing import Annotated, Any

import typer
from rich.text import Text

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, Prefix, Store
from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.changes import changed_threads
from langgraph.checkpoint.lmdb.views.stores import open_store
from langgraph.checkpoint.lmdb.views.threads import ThreadView


def command(
    store: Store,
    prefix: Prefix = None,
    interval: Annotated[
        float, typer.Option("--interval", min=0.05, metavar="SECONDS", help="Time between reads.")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Print a line for each thread that changes, until Ctrl-C.

    Begins with the threads that were active last.
    """
    pause = threading.Event()
    out: Any = output.console()
    with open_store(store) as saver:
        for threads in changed_threads(saver, prefix):
            for thread in threads:
                if as_json:
                    output.print_json(thread.to_dict())
                else:
                    out.print(_line(thread), soft_wrap=True)
            out.file.flush()
            pause.wait(interval)


def _line(thread: ThreadView) -> Text:
    info = thread.info
    return Text.assemble(
        output.line((formats.moment(info.updated), "dim"), "  ", (info.thread_id, "bold"), "  "),
        output.state(thread.state),
        output.line(f"  step {info.step}  {thread.error or formats.names(info.next)}"),
    )
