"""`python -m langgraph.checkpoint.lmdb.workflows recover STORE --graph MODULE:NAME`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.workflows.batch import recover
from langgraph.checkpoint.lmdb.workflows.graph_loading import load_graph
from langgraph.checkpoint.lmdb.workflows.resuming import ResumeResult

RECOVERED, FAILED, WRONG = 0, 1, 2
"""Exit statuses: all runs were resumed; a run could not be resumed; the command could not run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        results = recover(
            options.store,
            load_graph(options.graph),
            interval_seconds=options.interval,
            min_age_minutes=options.min_age_minutes,
            max_age_hours=options.max_age_hours,
            max_workers=options.max_workers,
            progress=_print,
        )
    except LmdbSaverError as error:
        print(error, file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return RECOVERED
    print(f"{len(results)} runs")
    return FAILED if any(result["error"] is not None for result in results) else RECOVERED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m langgraph.checkpoint.lmdb.workflows")
    command = parser.add_subparsers(dest="command", required=True).add_parser(
        "recover",
        help="resume the runs that a crash interrupted",
        description="Resume the runs of a graph that a crash interrupted. Ends with status 0 if "
        "all were resumed, 1 if one could not be resumed, 2 if the command could not run.",
    )
    command.add_argument("store", help="the folder of the store")
    command.add_argument("--graph", required=True, metavar="MODULE:NAME", help="the graph")
    command.add_argument("--interval", type=float, metavar="SECONDS", help="repeat at intervals")
    command.add_argument("--min-age-minutes", type=float, default=5, metavar="MINUTES")
    command.add_argument("--max-age-hours", type=float, default=24, metavar="HOURS")
    command.add_argument("--max-workers", type=int, default=4, metavar="COUNT")
    return parser


def _print(done: int, total: int, result: ResumeResult) -> None:
    error = "" if result["error"] is None else f": {result['error']}"
    print(f"{done}/{total} {result['thread_id']}: {result['status']}{error}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
