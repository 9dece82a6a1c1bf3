"""Reports on the problems of a store."""

from __future__ import annotations

from langgraph.checkpoint.lmdb import VerifyReport
from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.exit_codes import DONE, NO


def print_report(found: VerifyReport, as_json: bool) -> int:
    """Print a report, and return the exit status."""
    if as_json:
        output.print_json(found.to_dict())
    else:
        output.show(*(output.line(text) for text in _lines(found)))
    return DONE if found.ok else NO


def _lines(found: VerifyReport) -> list[str]:
    checked = ", ".join(f"{count} {what}" for what, count in found.checked.items())
    lines = [*map(str, found.problems), f"checked: {checked or '-'}"]
    if found.pages_unchecked is not None:
        lines.append(f"pages were not checked: {found.pages_unchecked}")
    if found.records_unchecked is not None:
        lines.append(f"records were not checked: {found.records_unchecked}")
    if found.quarantine is not None:
        lines.append(f"removed records are in {found.quarantine}")
    return [*lines, "ok" if found.ok else "not ok"]
