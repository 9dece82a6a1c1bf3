"""Markdown reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saver_conformance.result import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from saver_conformance.result import ClauseResult, Report

_SHOWN = (
    Status.FAILED,
    Status.UNEXPECTED_PASS,
    Status.NOT_RUN,
    Status.THIN,
    Status.KNOWN_FAILURE,
    Status.FOLLOWS,
    Status.DIFFERS,
)


def as_markdown(reports: Sequence[Report]) -> str:
    """Return reports as Markdown.

    Args:
        reports: Reports, one for each saver.

    Returns:
        The text of the file.
    """
    return "\n".join(line for report in reports for line in _report(report)).rstrip() + "\n"


def title(report: Report) -> str:
    """Return the name and the version of a saver.

    Args:
        report: Report of the saver.

    Returns:
        Name and version on one line.
    """
    return f"{report.name} {report.version}" if report.version else report.name


def _report(report: Report) -> Iterator[str]:
    yield f"# {title(report)}"
    yield ""
    counts = ", ".join(f"{report.count(s)} {s}" for s in Status if report.count(s))
    apis = " and ".join(report.apis) or "none"
    yield f"{counts}. APIs: {apis}. Profile `{report.profile}`, seed {report.seed}."
    yield ""
    for unknown in report.unknown_failures:
        yield f"- Unknown clause id in `known_failures`: `{unknown}`."
    for status in _SHOWN:
        found = [r for r in report.results if r.status is status]
        if found:
            yield f"## {status.value.capitalize()}"
            yield ""
            for result in sorted(found, key=lambda r: r.clause.severity.rank):
                yield from entry(result)


def entry(result: ClauseResult, level: str = "###", longest: int | None = None) -> Iterator[str]:
    """Yield the section of one clause.

    Args:
        result: Result of the clause.
        level: Markdown marks of the heading.
        longest: Characters of the longest program that is included; None includes every program.

    Yields:
        Lines of Markdown.
    """
    clause = result.clause
    yield f"{level} `{clause.id}` ({clause.severity})"
    yield ""
    yield clause.sentence
    yield ""
    yield f"Source: {clause.source}."
    yield ""
    if result.note:
        yield f"{result.note}."
        yield ""
    for apis, failure in result.distinct_failures:
        yield f"Found with the {apis} API: `{failure.message}`"
        yield ""
        if longest is not None and len(failure.program) > longest:
            yield f"`saver-conformance check` with `--only {clause.id}` prints the long program."
        else:
            yield "```python"
            yield from failure.program.rstrip().splitlines()
            yield "```"
        yield ""
