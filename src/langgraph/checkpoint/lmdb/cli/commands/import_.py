"""`import`: the threads of an export, stored again."""

from typing import Annotated

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, Store
from langgraph.checkpoint.lmdb.cli.progress import bar
from langgraph.checkpoint.lmdb.migrate.exports import ImportClock, ImportReport, import_lines
from langgraph.checkpoint.lmdb.views.stores import create_store


def command(
    store: Store,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="File of the export; - is the standard input."),
    ] = "-",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an import that was interrupted.")
    ] = False,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Encrypt a new store with LANGGRAPH_AES_KEY.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Store the threads of a lossless export.

    The store is created if it does not exist. A thread that it has is refused.
    """
    clock, report = ImportClock(), ImportReport()
    with (
        open(0 if file == "-" else file, encoding="utf-8", closefd=file != "-") as lines,
        create_store(store, clock=clock, encryption_key="env" if encrypt else None) as saver,
        bar("import", "checkpoints") as show,
    ):
        for report in import_lines(lines, saver, clock, resume=resume):
            show(report.checkpoints, None)
    if as_json:
        output.print_json({"threads": report.threads, "checkpoints": report.checkpoints})
    else:
        text = f"imported {report.threads} threads, {report.checkpoints} checkpoints"
        output.show(output.line(text))
