"""The command line; needs the extra `cli`."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import tempfile
import threading
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

try:
    import typer
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn
except ImportError:  # pragma: no cover - prints the message and exits
    sys.exit("saver-conformance needs: pip install 'langgraph-saver-conformance[cli]'")

from hypothesis.configuration import set_hypothesis_home_dir

from saver_conformance import clauses as declared
from saver_conformance.built_in_specs import BUILT_IN_SPECS
from saver_conformance.capability import since
from saver_conformance.clause import CLAUSES, Severity
from saver_conformance.comparison import render_comparison, run_published
from saver_conformance.faults import known_faults
from saver_conformance.growth import SIZES, growth_table, measure
from saver_conformance.profile import PROFILES
from saver_conformance.reports import FORMATS, json_schema, write
from saver_conformance.reports.terminal import show
from saver_conformance.result import Status
from saver_conformance.runner import run
from saver_conformance.servers import POSTGRES, ServerMissingError
from saver_conformance.spec import SaverSpec, load_spec

if TYPE_CHECKING:
    from saver_conformance.result import ClauseResult, Report

#: Exit codes.
CONFORMS, BROKEN, USAGE = 0, 1, 2

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console()

_Profile = Annotated[str, typer.Option(help=f"Effort of the run: {', '.join(PROFILES)}.")]
_Seed = Annotated[int, typer.Option(help="Seed of the random examples.")]
_Server = Annotated[
    str | None,
    typer.Option(
        envvar=POSTGRES,
        help="Connection string of a PostgreSQL server for the built-in specs: a database of its "
        "own is created and dropped. Default: a private server.",
    ),
]


@app.callback()
def _main() -> None:
    """Test a LangGraph checkpoint saver against the conformance suite."""
    # Savers under test are made to fail: silence their logs and unraisable exceptions.
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None
    # Hypothesis stores nothing between runs; keep its folder out of the user's folder.
    set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "saver-conformance-hypothesis")


@app.command()
def check(
    specs: Annotated[
        list[str] | None, typer.Argument(help="MODULE:SPEC or FILE.py:SPEC, one or several.")
    ] = None,
    *,
    all_installed: Annotated[
        bool,
        typer.Option("--all-installed", help="Check every built-in spec whose saver is installed."),
    ] = False,
    profile: _Profile = "default",
    seed: _Seed = 0,
    only: Annotated[
        list[str] | None, typer.Option(help="Clause id or dotted prefix to run.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Clause id or dotted prefix to leave out.")
    ] = None,
    fail_on: Annotated[
        str, typer.Option(help="Least severity that fails the run: critical, major or minor.")
    ] = "minor",
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            help="A .json, .md, .xml (JUnit), .html or .svg (badge) file.",
        ),
    ] = None,
    server: _Server = None,
    programs: Annotated[int, typer.Option(help="Number of failing programs to print.")] = 3,
    every: Annotated[bool, typer.Option("--every", help="List passed clauses too.")] = False,
) -> None:
    """Run the clauses against one or more savers; exit with 1 if a saver does not conform."""
    if profile not in PROFILES:
        _usage_error(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
    references = list(specs or ())
    named = len(references)
    if all_installed:
        references += [s.reference for s in BUILT_IN_SPECS if s.version is not None]
    if not references:
        _usage_error("no saver is named; pass a MODULE:SPEC or --all-installed")
    severities = [severity.value for severity in Severity]
    if fail_on not in severities:
        _usage_error(f"fail-on must be one of {', '.join(severities)}, got {fail_on!r}")
    declared = [_load(reference) for reference in references]
    for path in output or ():
        _check_writable(path)
    if server is not None:
        os.environ[POSTGRES] = server
    reports = []
    conform = True
    for position, spec in enumerate(declared):
        report = _check(spec, profile, seed, only or [], exclude or [])
        if report is None:
            conform &= position >= named
        else:
            least = Severity(fail_on)
            conform &= report.conforms(least)
            show(report, console, programs=programs, every=every, fail_on=least)
            reports.append(report)
    for path in output or ():
        write(reports, path)
    _leave(CONFORMS if reports and conform else BROKEN)


@app.command()
def clauses() -> None:
    """List every clause with its severity, sentence and source."""
    declared.load()
    for clause in CLAUSES:
        kind = "unspecified" if clause.unspecified else str(clause.severity)
        console.print(f"[bold]{clause.id}[/] ({kind}, {clause.capability})")
        console.print(f"    {clause.sentence}", highlight=False)
        console.print(f"    Source: {clause.source}.", style="dim", highlight=False, markup=False)


@app.command()
def explain(
    clause_id: Annotated[str, typer.Argument(metavar="CLAUSE", help="Id of a clause.")],
) -> None:
    """Explain a clause: what must hold, why, what depends on it, and how to fix a saver."""
    declared.load()
    if clause_id not in CLAUSES:
        _usage_error(f"no clause has the id {clause_id!r}; run `saver-conformance clauses`")
    clause = CLAUSES[clause_id]
    dependents = [c.id for c in CLAUSES if any(fnmatchcase(clause_id, p) for p in c.presumes)]
    needs = ", ".join(sorted(map(str, clause.needs)))
    faults = [f"- {fault}" for fault in known_faults(clause_id)]
    lines = [
        f"{clause.id}: {clause.sentence}",
        f"Severity: {clause.severity}"
        + (", never fails a saver, because the base class is silent" if clause.unspecified else ""),
        f"Source: {clause.source}.",
        f"Since: langgraph-checkpoint {since(clause.needs)} has the methods that it calls.",
        f"Needs: {needs}.",
        f"Presumes: {', '.join(clause.presumes) or 'no other clause'}.",
        f"Follows from it: {', '.join(dependents) or 'no other clause'}.",
        f"Work on it: saver-conformance check MODULE:SPEC --only {clause.id} --programs 1",
        "",
        "How to fix: look for one of the faults that this clause finds in faulty savers.",
        *faults,
        "",
        inspect.getsource(clause.body),
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the JSON schema of a .json report."""
    sys.stdout.write(json_schema())


@app.command()
def growth(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="MODULE:SPEC or FILE.py:SPEC.")],
    sizes: Annotated[
        list[int] | None, typer.Option("--size", help="Number of checkpoints; repeatable.")
    ] = None,
) -> None:
    """Print how time and size grow with the checkpoints of a thread; judges nothing."""
    points = measure(_load(spec), sizes or SIZES)
    console.print(growth_table(points), highlight=False, markup=False)
    _leave(CONFORMS)


@app.command()
def survey(
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path(
        "SURVEY.md"
    ),
    *,
    profile: _Profile = "default",
    seed: Annotated[int, typer.Option(help="Seed of every run.")] = 0,
    jobs: Annotated[int, typer.Option(help="Number of savers to run in parallel.")] = 1,
    html: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Run only specs that contain TEXT.")
    ] = None,
) -> None:
    """Run the suite on every installed published saver and write the comparison."""
    if profile not in PROFILES:
        _usage_error(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
    chosen = [r for r in BUILT_IN_SPECS if not only or any(text in r.reference for text in only)]
    reports: list[Report] = []
    absent: list[tuple[str, str]] = []
    for built_in, found in run_published(chosen, profile, seed, jobs):
        if isinstance(found, str):
            _leave_out(built_in.reference, found)
            absent.append((built_in.reference, found))
        else:
            counts = ", ".join(f"{found.count(s)} {s}" for s in Status if found.count(s))
            line = f"{found.name}: {counts} in {found.seconds:.0f} s"
            console.print(line, highlight=False, markup=False)
            reports.append(found)
    output.write_text(render_comparison(reports, absent), encoding="utf-8")
    if html is not None:
        write(reports, html)
    console.print(f"{output}: {len(reports)} savers, {len(absent)} not run.")
    _leave(CONFORMS)


def _check_writable(path: Path) -> None:
    """Exit before a long run if its report cannot be written."""
    if path.suffix not in FORMATS:
        _usage_error(f"output must end in one of {', '.join(FORMATS)}, got {path.name}")
    if not path.resolve().parent.is_dir():
        _usage_error(f"folder {path.resolve().parent} does not exist")


def _load(reference: str) -> SaverSpec:
    try:
        return load_spec(reference)
    # Importing the module of a spec may raise anything.
    except Exception as error:  # noqa: BLE001
        _usage_error(f"{reference}: {type(error).__name__}: {error}")


def _check(
    spec: SaverSpec, profile: str, seed: int, only: list[str], exclude: list[str]
) -> Report | None:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{spec.name}: opening")
        failed = 0

        def on_result(result: ClauseResult) -> None:
            nonlocal failed
            failed += result.status.bad
            done = f"{spec.name}: {result.clause.id}"
            progress.update(task, description=f"{done}, {failed} failed" if failed else done)

        try:
            return run(
                spec, profile=profile, seed=seed, only=only, exclude=exclude, on_result=on_result
            )
        except KeyError as error:
            _usage_error(str(error.args[0]))
        except ServerMissingError as error:
            _leave_out(spec.origin or spec.name, str(error))
            return None


def _leave_out(reference: str, reason: str) -> None:
    console.print(f"[bold yellow]{escape(reference)} was not run: {escape(reason)}[/]")


def _usage_error(message: str) -> NoReturn:
    console.print(f"[bold red]{escape(message)}[/]", highlight=False)
    raise typer.Exit(USAGE)


def _leave(code: int) -> None:
    """Exit, even if a saver left a thread behind that would keep the process alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    if any(t is not threading.main_thread() and not t.daemon for t in threading.enumerate()):
        os._exit(code)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line interface."""
    app()
