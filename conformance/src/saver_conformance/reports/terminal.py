"""Terminal reports; needs the extra `cli`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from saver_conformance.clause import Severity
from saver_conformance.reports.markdown import title
from saver_conformance.result import Status

if TYPE_CHECKING:
    from rich.console import Console

    from saver_conformance.capability import Capability
    from saver_conformance.result import ClauseResult, Report

#: Maximum length of a message in the table, in characters; the full text follows with the program.
_WIDEST = 120

_STYLES = {
    Status.PASSED: "green",
    Status.HOLDS: "green",
    Status.THIN: "yellow",
    Status.FAILED: "bold red",
    Status.UNEXPECTED_PASS: "bold red",
    Status.NOT_RUN: "bold red",
    Status.KNOWN_FAILURE: "yellow",
    Status.FOLLOWS: "yellow",
    Status.DIFFERS: "yellow",
    Status.NOT_CLAIMED: "dim",
}


def show(
    report: Report,
    console: Console,
    *,
    programs: int = 3,
    every: bool = False,
    fail_on: Severity = Severity.MINOR,
) -> None:
    """Print a report: a table for each capability, and the clauses to fix first.

    Args:
        report: Report to print.
        console: Console to print to.
        programs: Number of failing programs to print, worst clauses first.
        every: True to list passed clauses too.
        fail_on: Least severity that fails the run.
    """
    console.print(f"\n[bold]{escape(title(report))}[/]", highlight=False)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("clause", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("examples", no_wrap=True, justify="right")
    table.add_column("details", overflow="fold")
    groups: dict[Capability, list[ClauseResult]] = {}
    for result in report.results:
        groups.setdefault(result.clause.capability, []).append(result)
    for capability, results in groups.items():
        counts = ", ".join(f"{n} {s}" for s in Status if (n := sum(r.status is s for r in results)))
        examples = str(sum(r.examples for r in results))
        table.add_row(f"[bold]{capability}[/]", "", f"[bold]{examples}[/]", f"[bold]{counts}[/]")
        for result in results:
            if every or result.status not in (Status.PASSED, Status.HOLDS, Status.NOT_CLAIMED):
                _row(table, result)
        table.add_section()
    console.print(table)
    for unknown in report.unknown_failures:
        console.print(f"[bold red]unknown clause id in known_failures: {escape(unknown)}[/]")
    _first(report, console, programs)
    counts = ", ".join(f"{report.count(s)} {s}" for s in Status if report.count(s))
    console.print(f"{escape(title(report))} {_conclusion(report, fail_on)}: {counts}.")
    if thin := report.count(Status.THIN):
        console.print(
            f"[yellow]{thin} clauses are thin: the saver is too slow for this profile.[/]"
        )
    console.print(f"Repeat this run with --profile {report.profile} --seed {report.seed}.")


def _conclusion(report: Report, fail_on: Severity) -> str:
    if report.ok:
        return "[green]conforms[/]"
    if report.conforms(fail_on):
        counted = [str(s) for s in Severity if s.rank <= fail_on.rank]
        return f"[yellow]has no {' or '.join(counted)} failure[/]"
    return "[bold red]does not conform[/]"


def _row(table: Table, result: ClauseResult) -> None:
    clause = result.clause
    found = [f"{apis} API: {failure.message}" for apis, failure in result.distinct_failures]
    detail = "; ".join(found) or result.note or ""
    kind = "unspecified" if clause.unspecified else str(clause.severity)
    status = f"[{_STYLES[result.status]}]{result.status}[/]"
    text = f"{kind}: {detail}" if detail else kind
    shortened = textwrap.shorten(text, _WIDEST, placeholder=" ...")
    table.add_row(f"  {clause.id}", status, str(result.examples), escape(shortened))


def _first(report: Report, console: Console, programs: int) -> None:
    for result in report.to_fix[:programs]:
        clause = result.clause
        console.rule(f"[bold]fix first: {clause.id}[/] ({clause.severity})", align="left")
        console.print(escape(clause.sentence))
        console.print(f"Source: {escape(clause.source)}.")
        if result.note:
            console.print(f"[red]{escape(result.note)}[/]\n")
        for apis, failure in result.distinct_failures:
            console.print(f"[red]{apis} API: {escape(failure.message)}[/]\n")
            # Soft wrapping keeps program lines intact for copying.
            console.print(escape(failure.program), soft_wrap=True, highlight=False)
    rest = len(report.to_fix) - programs
    if programs and rest > 0:
        console.print(f"{rest} more; pass --programs {len(report.to_fix)} to print all of them.")
