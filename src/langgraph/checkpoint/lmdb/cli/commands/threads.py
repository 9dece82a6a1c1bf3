"""`threads`: the threads of a store."""

import json
from typing import Annotated, Any

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, Prefix, Store
from langgraph.checkpoint.lmdb.run_state import State
from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.stores import open_store
from langgraph.checkpoint.lmdb.views.threads import (
    LISTED_STATES,
    SORTS,
    ThreadQuery,
    ThreadView,
    list_threads,
)

_DEFAULT_LIMIT = 50
_STATES = ", ".join(LISTED_STATES)


def command(
    store: Store,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help=f"One of {_STATES}; repeatable."),
    ] = None,
    prefix: Prefix = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", metavar="KEY=VALUE", help="Metadata of a run; repeatable."),
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", metavar="KEY", help=f"One of {', '.join(SORTS)}.")
    ] = "updated",
    reverse: Annotated[bool, typer.Option("--reverse", help="Turn the order around.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="Highest number of threads; 0: all.")
    ] = _DEFAULT_LIMIT,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="THREAD", help="Last thread of the page before."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the threads of a store.

    The latest activity comes first. Each thread has the state of its latest run.
    """
    if sort not in SORTS:
        raise typer.BadParameter(f"--sort must be one of {', '.join(SORTS)}, got {sort!r}")
    query = ThreadQuery(
        states=parse_states(state),
        prefix=prefix,
        metadata=parse_metadata(metadata),
        sort=sort,
        reverse=reverse,
        limit=limit or None,
        after=after,
    )
    with open_store(store) as saver:
        found = list_threads(saver, query)
        if as_json:
            for thread in found:
                output.print_json(thread.to_dict())
            return
        threads = list(found)
    output.show(_table(threads))
    if limit and len(threads) == limit:
        output.show(output.line((f"more: --after {threads[-1].info.thread_id}", "dim")))


def parse_states(names: list[str] | None) -> list[State]:
    """Return the states with the given names."""
    found: list[State] = [name for name in LISTED_STATES if name in (names or ())]
    for name in names or ():
        if name not in found:
            raise typer.BadParameter(f"--state must be one of {_STATES}, got {name!r}")
    return found


def parse_metadata(pairs: list[str] | None) -> dict[str, Any] | None:
    """Return the filter that `KEY=VALUE` pairs name. A value that is JSON is read as JSON."""
    if not pairs:
        return None
    parsed: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign:
            raise typer.BadParameter(f"--metadata must be KEY=VALUE, got {pair!r}")
        try:
            parsed[key] = json.loads(text)
        except ValueError:
            parsed[key] = text
    return parsed


def _table(threads: list[ThreadView]) -> Any:
    return output.table(
        ("thread", "state", "last activity", ">steps", ">size", "next or error"),
        (
            (
                thread.info.thread_id,
                output.state(thread.state),
                formats.moment(thread.info.updated),
                str(thread.info.checkpoints),
                formats.size(thread.info.bytes),
                thread.error or ", ".join(thread.info.next),
            )
            for thread in threads
        ),
    )
