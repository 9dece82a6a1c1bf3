"""`set-ttl`: the time after which a thread expires."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, Store, Thread
from langgraph.checkpoint.lmdb.views.stores import open_store


def command(
    store: Store,
    thread: Thread,
    minutes: Annotated[
        str,
        typer.Argument(
            metavar="MINUTES", help="Minutes after the last activity; or never.", show_default=False
        ),
    ],
    as_json: Json = False,
) -> None:
    """Set the time after which an idle thread expires."""
    ttl = _minutes(minutes)
    with open_store(store, readonly=False) as saver:
        saver.set_ttl(thread, ttl)
    if as_json:
        output.print_json({"thread_id": thread, "minutes": ttl})
    else:
        when = (
            "never expires" if ttl is None else f"expires {ttl:g} minutes after its last activity"
        )
        output.show(output.line((thread, "bold"), f"  {when}"))


def _minutes(text: str) -> float | None:
    if text == "never":
        return None
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"MINUTES must be a number or never, got {text!r}") from None
