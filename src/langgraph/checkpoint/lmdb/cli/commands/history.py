"""`history`: a checkpoint and its ancestors."""

from itertools import islice
from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, Namespace, Store, Thread
from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.steps import StepView, history_of
from langgraph.checkpoint.lmdb.views.stores import find_address, open_store


def command(
    store: Store,
    thread: Thread,
    namespace: Namespace = "",
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="Highest number of steps; 0: all.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """List a checkpoint and its ancestors.

    THREAD is the id of a thread, for its latest checkpoint, or THREAD@CHECKPOINT.
    """
    with open_store(store) as saver:
        steps = history_of(saver, find_address(saver, thread, namespace=namespace))
        found = islice(steps, limit or None)
        if as_json:
            for step in found:
                output.print_json(step.to_dict(summary=True))
            return
        rows = [_row(step) for step in found]
    output.show(output.table((">step", "checkpoint", "time", "source", "changed", "then"), rows))


def _row(step: StepView) -> tuple[output.Cell, ...]:
    changed = [name for name in step.changed if not name.startswith(("branch:to:", "__"))]
    return (
        "-" if step.step is None else str(step.step),
        formats.short_id(step.checkpoint_id),
        formats.moment(step.created_at),
        step.source or "-",
        formats.names(changed),
        output.after_step(step),
    )
