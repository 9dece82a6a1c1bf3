"""`runs`: a report on the runs of a store."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Json, Store
from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.stores import open_store
from langgraph.checkpoint.lmdb.workflows import CheckpointStatus, monitor_workflows


def command(
    store: Store,
    stuck_after: Annotated[
        float,
        typer.Option("--stuck-after", metavar="MINUTES", help="Idle time of a stuck run."),
    ] = 30,
    window: Annotated[
        float, typer.Option("--window", metavar="HOURS", help="Time that counts for durations.")
    ] = 24,
    as_json: Json = False,
) -> None:
    """Report on the runs of a store: runs per state, stuck runs, durations.

    A run is running if a live process holds its lock.
    """
    with open_store(store) as saver:
        report = monitor_workflows(saver, stuck_after_minutes=stuck_after, window_hours=window)
    if as_json:
        data = asdict(report)
        data["created_at"] = report.created_at.isoformat()
        data["stuck"] = [_status(status) for status in report.stuck]
        output.print_json(data)
        return
    counts = ((output.state(name), str(count)) for name, count in report.counts.items())
    output.show(output.table(("state", ">runs"), counts))
    for status in report.stuck:
        output.show(
            output.line(
                ("stuck ", "red"),
                f"{status.thread_id}  {status.state}  since {formats.moment(status.updated_at)}  ",
                status.error or formats.names(status.next),
            )
        )
    if report.duration_p50_seconds is not None:
        output.show(
            output.line(
                f"completed in {report.window_hours:g} hours: {report.completed}, "
                f"half of them within {report.duration_p50_seconds:.3g} s"
            )
        )


def _status(status: CheckpointStatus) -> dict[str, Any]:
    return {
        "thread_id": status.thread_id,
        "checkpoint_id": status.checkpoint_id,
        "state": status.state,
        "next": list(status.next),
        "error": status.error,
        "step": status.step,
        "updated_at": None if status.updated_at is None else status.updated_at.isoformat(),
        "run_id": status.run_id,
    }
