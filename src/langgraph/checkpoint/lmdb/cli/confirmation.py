"""The question before a command destroys something."""

from __future__ import annotations

import sys

import typer

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.views.escape import escape


def confirm(question: str, *, yes: bool) -> None:
    """Ask a question that --yes answers. Any other answer ends the command with status 1.

    Raises:
        UsageError: There is no terminal to ask on.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "the command destroys data, and there is no terminal to ask on", advice="Pass --yes."
        )
    typer.confirm(escape(question), abort=True, err=True)
