"""`python -m benches [run] | report | profile`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benches.results import Results

_T = TypeVar("_T")

_HERE = Path(__file__).parent
_OUT = _HERE / "out"
_PUBLISHED = _HERE / "results"
_JSON = "results.json"
_MARKDOWN = "report.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given = ["run", *given]
    options = _parser().parse_args(given)
    signal.signal(signal.SIGTERM, _exit)
    status: int = options.command(options)
    return status


def _exit(signum: int, _frame: object) -> NoReturn:
    """Exit through the `finally` clauses, which stop the server and delete temporary files."""
    raise SystemExit(128 + signum)


def _parser() -> argparse.ArgumentParser:
    from benches.savers import OURS, SAVERS
    from benches.workloads import WORKLOADS

    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    commands = parser.add_subparsers(required=True)

    run = commands.add_parser("run", help="measure (the default command)")
    run.add_argument("--quick", action="store_true", help="reduced sizes, under two minutes")
    run.add_argument("--only", metavar="WORKLOAD,...", help=f"of {', '.join(WORKLOADS)}")
    run.add_argument("--savers", metavar="SAVER,...", help=f"of {', '.join(SAVERS)}")
    run.add_argument("--repeat", type=int, help="default: each workload's own")
    _add_directory(run)
    add_server(run)
    run.set_defaults(command=_run)

    report = commands.add_parser(
        "report", help="write the report, plots, README.md and docs from the JSON"
    )
    report.add_argument("--publish", action="store_true", help=f"copy {_OUT.name}/{_JSON} first")
    report.add_argument(
        "--check", action="store_true", help="write nothing; fail if a page is out of date"
    )
    report.set_defaults(command=_report)

    profile = commands.add_parser("profile", help="run one workload under a profiler")
    profile.add_argument("workload", choices=WORKLOADS)
    profile.add_argument("--saver", choices=SAVERS, default=OURS)
    profile.add_argument("--quick", action="store_true")
    profile.add_argument("--clock", choices=("cpu", "wall"), default="cpu", help="default: cpu")
    profile.add_argument("--limit", type=int, default=40)
    _add_directory(profile)
    profile.set_defaults(command=_profile)
    return parser


def _add_directory(parser: argparse.ArgumentParser) -> None:
    # /tmp may be in memory, where nothing is durable. /var/tmp is on a disk.
    parser.add_argument(
        "--directory", type=Path, default=Path("/var/tmp"), help="default: %(default)s"
    )


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the option for a PostgreSQL server."""
    parser.add_argument(
        "--server",
        metavar="CONNINFO",
        help="connection string of a PostgreSQL server: its role creates and drops a database, and "
        "may run CHECKPOINT (default: a server that runs in the meantime)",
    )


def _select(given: str | None, known: Mapping[str, _T]) -> list[_T]:
    names = given.split(",") if given else list(known)
    for name in names:
        if name not in known:
            raise SystemExit(f"unknown name {name!r}, expected one of {', '.join(known)}")
    return [known[name] for name in names]


def _run(options: argparse.Namespace) -> int:
    from benches import runner
    from benches.results import Results
    from benches.savers import SAVERS
    from benches.workloads import WORKLOADS

    workloads = _select(options.only, WORKLOADS)
    if options.quick and not options.only:
        workloads = [workload for workload in workloads if workload.in_quick]
    chosen = runner.Options(
        workloads=workloads,
        savers=[
            saver
            for saver in _select(options.savers, SAVERS)
            if options.savers or not saver.on_demand
        ],
        quick=options.quick,
        repeat=options.repeat,
        directory=options.directory,
        server=options.server,
    )
    console = Console()
    results = Results(runner.run(chosen, console))
    _OUT.mkdir(exist_ok=True)
    results.save(_OUT / _JSON)
    _write_report(results, _OUT)
    console.print(f"{_OUT / 'report.md'} and its plots have been written.")
    return 1 if any("error" in measured for measured in results.raw["runs"]) else 0


def _write_report(results: Results, folder: Path) -> None:
    from benches import plots, report

    plots.draw_all(results, folder)
    (folder / _MARKDOWN).write_text(report.render(results, folder))


def _report(options: argparse.Namespace) -> int:
    from benches import readme, report
    from benches.results import Results

    if options.publish:
        _PUBLISHED.mkdir(exist_ok=True)
        shutil.copy(_OUT / _JSON, _PUBLISHED / _JSON)
    results = Results.load(_PUBLISHED / _JSON)
    if options.check:
        expected = {
            _PUBLISHED / _MARKDOWN: report.render(results, _PUBLISHED),
            **dict(readme.pages(results, _PUBLISHED)),
        }
        stale = [path for path, text in expected.items() if path.read_text() != text]
        for path in stale:
            print(f"{path} does not show the figures of {_PUBLISHED / _JSON}")
        return 1 if stale else 0
    _write_report(results, _PUBLISHED)
    for page, text in readme.pages(results, _PUBLISHED):
        page.write_text(text)
    return 0


def _profile(options: argparse.Namespace) -> int:
    from benches.profiling import profile
    from benches.savers import SAVERS
    from benches.workloads import WORKLOADS

    profile(
        WORKLOADS[options.workload],
        SAVERS[options.saver],
        quick=options.quick,
        directory=options.directory,
        clock=options.clock,
        limit=options.limit,
    )
    return 0
