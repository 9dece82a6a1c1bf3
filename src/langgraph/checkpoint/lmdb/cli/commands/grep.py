"""`grep`: the values of a store that match a pattern."""

import re
from itertools import islice
from typing import Annotated

import typer
from rich.text import Text

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.exit_codes import DONE, NO
from langgraph.checkpoint.lmdb.cli.options import Json, Prefix, Store
from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.search import Hit, search
from langgraph.checkpoint.lmdb.views.stores import open_store

_AROUND = 40


def command(
    store: Store,
    pattern: Annotated[
        str,
        typer.Argument(metavar="PATTERN", help="Regular expression of Python.", show_default=False),
    ],
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", "-i", help="Match capital and small letters alike.")
    ] = False,
    prefix: Prefix = None,
    thread: Annotated[
        str | None, typer.Option("--thread", metavar="THREAD", help="Search one thread.")
    ] = None,
    channel: Annotated[
        str | None, typer.Option("--channel", metavar="NAME", help="Search one channel.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Search all checkpoints, not only the latest.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="Highest number of hits; 0: all.")
    ] = 0,
    as_json: Json = False,
) -> int:
    """Search the values of a store for a pattern.

    Searches channels and pending writes of the latest checkpoint of each thread. The exit status is
    1 if nothing matches.
    """
    try:
        compiled = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise typer.BadParameter(f"PATTERN is not a regular expression: {error}") from error
    found = False
    out = output.console()
    with open_store(store) as saver:
        hits = search(
            saver, compiled, prefix=prefix, thread_id=thread, channel=channel, history=history
        )
        for hit in islice(hits, limit or None):
            found = True
            if as_json:
                output.print_json(hit.to_dict())
            else:
                out.print(_line(hit), soft_wrap=True)
    return DONE if found else NO


def _line(hit: Hit) -> Text:
    start, end = max(hit.start - _AROUND, 0), min(hit.end + _AROUND, len(hit.text))
    return output.line(
        (f"{hit.thread_id}@{formats.short_id(hit.checkpoint_id)}", "magenta"),
        (f" {hit.path}", "cyan"),
        ": " + ("..." if start else ""),
        hit.text[start : hit.start],
        (hit.text[hit.start : hit.end], "bold red"),
        hit.text[hit.end : end] + ("..." if end < len(hit.text) else ""),
    )
