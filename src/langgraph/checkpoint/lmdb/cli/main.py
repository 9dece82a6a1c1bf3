"""The entry point: one line for each error, quiet exits, and exit statuses."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from langgraph.checkpoint.lmdb.cli.exit_codes import BROKEN_PIPE, DONE, FAILED, INTERRUPTED, NO
from langgraph.checkpoint.lmdb.cli.table import NAME
from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.views.escape import escape

_COMPLETION = "_LANGGRAPH_LMDB_COMPLETE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status.

    Args:
        arguments: Arguments of the command. By default, the arguments of the process.
    """
    try:
        from langgraph.checkpoint.lmdb.cli import app  # noqa: PLC0415 - needs the extra `cli`
    except ImportError:
        return _fail('the command line needs: pip install "langgraph-lmdb[cli]"')
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _log_to_standard_error()
    command = app.group()
    if _COMPLETION in os.environ:
        command.main(prog_name=NAME)
    try:
        status = _run(command, app, list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = BROKEN_PIPE
    return status


def _log_to_standard_error() -> None:
    """Print warnings as lines, without tracebacks."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LineFormatter(f"{NAME}: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _LineFormatter(logging.Formatter):
    """A formatter of one line for each record."""

    def format(self, record: logging.LogRecord) -> str:
        return escape(self.formatMessage(_with_message(record)))


def _with_message(record: logging.LogRecord) -> logging.LogRecord:
    record.message = record.getMessage()
    return record


def _run(command: Any, app: Any, arguments: list[str]) -> int:
    try:
        with command.make_context(NAME, arguments) as context:
            result = command.invoke(context)
        return result if isinstance(result, int) else DONE
    except app.Exit as done:
        status: int = done.exit_code
        return status
    except app.Abort:  # the answer to a question was no
        return NO
    except app.CommandError as error:
        return _fail(_usage(error))
    except LmdbSaverError as error:
        return _fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        return _fail(str(error))


def _usage(error: Any) -> str:
    text = error.format_message().rstrip(".")
    context = error.ctx
    return text if context is None else f"{text}. See: {context.command_path} --help"


def _fail(text: str) -> int:
    print(f"{NAME}: {escape(text)}", file=sys.stderr)
    return FAILED
