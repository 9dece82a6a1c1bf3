"""`migrate`: the threads of one saver, copied to another one."""

from dataclasses import asdict
from typing import Annotated, Any, cast

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.exit_codes import DONE, NO
from langgraph.checkpoint.lmdb.cli.options import Json
from langgraph.checkpoint.lmdb.migrate.__main__ import run
from langgraph.checkpoint.lmdb.migrate.migrating import DEFAULT_WORKERS

_NAMED = "Folder of a store, SQLite file, or connection string of a PostgreSQL database."


def command(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=_NAMED, show_default=False)],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="The same; created if it does not exist.",
            show_default=False,
        ),
    ],
    thread: Annotated[
        list[str] | None,
        typer.Option("--thread", metavar="ID", help="Thread to copy; repeatable. Default: all."),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", metavar="COUNT", help="Threads copied at the same time.")
    ] = DEFAULT_WORKERS,
    no_resume: Annotated[
        bool, typer.Option("--no-resume", help="Refuse threads that the target has already.")
    ] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not compare the copies with the source.")
    ] = False,
    source_saver: Annotated[
        str | None,
        typer.Option(
            "--source-saver",
            metavar="KIND",
            help="Saver of a connection string: compact or postgres. Default: what is there.",
        ),
    ] = None,
    target_saver: Annotated[
        str | None,
        typer.Option(
            "--target-saver",
            metavar="KIND",
            help="Saver of a connection string: compact or postgres. Default: compact.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Copy the threads of one saver to another one.

    The source is only read. Run the command again to continue after an interruption, or to copy
    what changed since. The exit status is 1 if a checkpoint differs.
    """
    report = run(
        source,
        target,
        threads=thread or None,
        workers=workers,
        resume=not no_resume,
        verify=not no_verify,
        source_saver=cast("Any", source_saver),
        target_saver=cast("Any", target_saver),
    )
    if as_json:
        differences = [difference._asdict() for difference in report.differences]
        output.print_json({**asdict(report), "differences": differences})
    else:
        output.show(output.block(str(report)))
    return DONE if report.ok else NO
