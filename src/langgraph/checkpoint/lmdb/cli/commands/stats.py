"""`stats`: sizes, growth and the largest threads."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, Store
from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.statistics import statistics_of
from langgraph.checkpoint.lmdb.views.stores import open_store


def command(
    store: Store,
    values: Annotated[
        bool,
        typer.Option(
            "--values", help="Read every value, to tell what sharing and compression save."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show sizes, growth and the largest threads of a store.

    This reads the record of every thread.
    """
    with open_store(store) as saver:
        found = statistics_of(saver, values=values)
    if as_json:
        output.print_json(found.to_dict())
        return
    totals = found.totals
    rows = [
        ("threads", str(totals.threads)),
        ("checkpoints", str(totals.checkpoints)),
        ("pending writes", str(totals.writes)),
        ("records and values", formats.size(totals.bytes)),
        ("on disk, with indexes and free pages", formats.size(totals.file_bytes)),
    ]
    if found.value_bytes is not None:
        rows.append(("all values of all checkpoints", formats.size(found.value_bytes)))
    if found.ratio is not None:
        rows.append(("saved by sharing and compression", f"{found.ratio:.1f} times smaller"))
    output.show(output.table(("store", ">"), rows))
    if found.largest:
        sizes = [(name, formats.size(size)) for name, size in found.largest]
        output.show("", output.table(("largest threads", ">size"), sizes))
    if found.growth:
        days = [(day, str(count), formats.size(size)) for day, count, size in found.growth]
        output.show("", output.table(("created", ">threads", ">size"), days))
