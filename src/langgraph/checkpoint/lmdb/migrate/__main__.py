"""`python -m langgraph.checkpoint.lmdb.migrate SOURCE TARGET`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.migrate.endpoints import KINDS, Kind
from langgraph.checkpoint.lmdb.migrate.migrating import DEFAULT_WORKERS, migrate
from langgraph.checkpoint.lmdb.migrate.models import MigrationProgress, MigrationReport

EQUAL, DIFFERENT, FAILED = 0, 1, 2
"""Exit statuses: the target has all of the source; checkpoints differ; an error ended it."""
_SECONDS_BETWEEN_LINES = 0.1
_CLEAR_LINE = "\r\x1b[K"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        report = run(
            options.source,
            options.target,
            threads=options.thread,
            workers=options.workers,
            resume=not options.no_resume,
            verify=not options.no_verify,
            source_saver=options.source_saver,
            target_saver=options.target_saver,
        )
    except LmdbSaverError as error:
        print(error, file=sys.stderr)
        return FAILED
    print(report)
    return EQUAL if report.ok else DIFFERENT


def run(
    source: str,
    target: str,
    *,
    threads: Sequence[str] | None = None,
    workers: int = DEFAULT_WORKERS,
    resume: bool = True,
    verify: bool = True,
    source_saver: Kind | None = None,
    target_saver: Kind | None = None,
) -> MigrationReport:
    """Migrate, and show the progress if stderr is a terminal.

    Args:
        source: As for `migrate`, like all arguments.

    Returns:
        The report.
    """
    line = _Line()
    try:
        return migrate(
            source,
            target,
            threads=threads,
            workers=workers,
            resume=resume,
            verify=verify,
            source_saver=source_saver,
            target_saver=target_saver,
            progress=line.show if sys.stderr.isatty() else None,
        )
    finally:
        line.clear()


class _Line:
    """A line of progress that changes on a terminal."""

    def __init__(self) -> None:
        self._shown_at = 0.0

    def show(self, progress: MigrationProgress) -> None:
        """Show how far the migration is, unless the line changed a moment ago."""
        now = time.monotonic()
        if now - self._shown_at >= _SECONDS_BETWEEN_LINES:
            self._shown_at = now
            of = "" if progress.total is None else f" of {progress.total}"
            text = f"{progress.checkpoints}{of} checkpoints, {progress.threads} threads complete"
            print(_CLEAR_LINE + text, end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line."""
        if self._shown_at:
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m langgraph.checkpoint.lmdb.migrate",
        description="Copy the threads of one saver to another one. Run it again to continue after "
        "an interruption, or to copy what changed. The exit status is 0 if all checkpoints are "
        "equal, 1 if some differ, and 2 if an error ended it. The key of encrypted values is read "
        "from LANGGRAPH_AES_KEY.",
    )
    named = "the folder of a store, a SQLite file, or the connection string of PostgreSQL"
    parser.add_argument("source", help=named)
    parser.add_argument("target", help=f"{named}; created if it does not exist")
    parser.add_argument("--thread", action="append", metavar="ID", help="a thread; repeatable")
    parser.add_argument("--workers", type=int, default=DEFAULT_WORKERS, metavar="COUNT")
    parser.add_argument("--no-resume", action="store_true", help="refuse threads that exist")
    parser.add_argument("--no-verify", action="store_true", help="do not compare the copies")
    for end in ("source", "target"):
        parser.add_argument(
            f"--{end}-saver", choices=KINDS, help=f"the saver of a connection string as {end}"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
