"""Reports on the resumption of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.exit_codes import DONE, NO

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.workflows import ResumeResult


def report(results: Sequence[ResumeResult], as_json: bool) -> int:
    """Print what became of runs, and return the exit status."""
    for result in results:
        if as_json:
            output.print_json(_to_dict(result))
        else:
            error = "" if result["error"] is None else f"  {result['error']}"
            state = "complete" if result["completed"] else "not complete"
            output.show(
                output.line((result["thread_id"], "bold"), f"  {result['status']}, {state}{error}")
            )
    resumed = ("success", "already_complete")
    return DONE if all(result["status"] in resumed for result in results) else NO


def _to_dict(result: ResumeResult) -> dict[str, Any]:
    return {
        "thread_id": result["thread_id"],
        "status": result["status"],
        "completed": result["completed"],
        "before_checkpoint": result["before_checkpoint"],
        "after_checkpoint": result["after_checkpoint"],
        "error": None if result["error"] is None else str(result["error"]),
    }
