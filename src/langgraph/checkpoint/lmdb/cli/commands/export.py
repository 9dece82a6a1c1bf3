"""`export`: the threads of a store as lines of JSON."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Annotated, Any

import typer

from langgraph.checkpoint.lmdb import KvSaver, ThreadInfo
from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Prefix, Store
from langgraph.checkpoint.lmdb.cli.progress import bar
from langgraph.checkpoint.lmdb.migrate.exports import early_threads, export_lines
from langgraph.checkpoint.lmdb.views.steps import all_steps
from langgraph.checkpoint.lmdb.views.stores import all_threads, open_store, thread_info


def command(
    store: Store,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="New file to write; - is the standard output."),
    ] = "-",
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Print the form that `import` reads.")
    ] = False,
    prefix: Prefix = None,
    thread: Annotated[
        list[str] | None, typer.Option("--thread", metavar="THREAD", help="A thread; repeatable.")
    ] = None,
    as_json: Annotated[  # noqa: ARG001 - every command has this option
        bool, typer.Option("--json", help="The output is JSON in any case.")
    ] = False,
) -> None:
    """Print the threads of a store as lines of JSON.

    One line for each checkpoint, as `show --json` prints it. With --lossless, values are encoded,
    so that `import` stores exactly what the store has.
    """
    is_shown = file != "-" or not sys.stdout.isatty()
    with (
        open_store(store) as saver,
        _written_to(file),
        bar("export", "checkpoints", is_shown=is_shown) as show,
    ):
        threads = (
            [thread_info(saver, name) for name in thread] if thread else all_threads(saver, prefix)
        )
        total = None if thread or prefix else saver.stats().checkpoints
        early = () if thread else early_threads(saver, prefix)
        lines = export_lines(saver, threads, early) if lossless else _steps(saver, threads)
        for number, line in enumerate(lines, 1):
            output.print_json(line)
            show(number, total)


@contextmanager
def _written_to(file: str) -> Iterator[None]:
    """Print to a new file, which only its owner may read, within a block."""
    if file == "-":
        yield
        return
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out, redirect_stdout(out):
        yield


def _steps(saver: KvSaver, threads: Any) -> Iterator[dict[str, Any]]:
    info: ThreadInfo
    for info in threads:
        for step in all_steps(saver, info.thread_id):
            yield step.to_dict()
