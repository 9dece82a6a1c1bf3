"""HTML reports: one static page that compares savers."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from saver_conformance.reports.markdown import title
from saver_conformance.result import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from saver_conformance.clause import Clause
    from saver_conformance.result import ClauseResult, Report

_MARKS = {
    Status.PASSED: "pass",
    Status.THIN: "thin",
    Status.FAILED: "FAIL",
    Status.KNOWN_FAILURE: "known",
    Status.UNEXPECTED_PASS: "passes!",
    Status.NOT_CLAIMED: "\N{MIDDLE DOT}",
    Status.HOLDS: "holds",
    Status.DIFFERS: "differs",
    Status.FOLLOWS: "follows",
    Status.NOT_RUN: "not run",
}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
  color: #1a1a1a; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .5rem; text-align: left;
  vertical-align: top }
thead th { position: sticky; top: 0; background: #fff }
td.v { white-space: nowrap }
.passed, .holds { color: #176b2c } .failed, .unexpected, .run { color: #a40e26; font-weight: 600 }
.known, .differs, .follows, .thin { color: #7a4d00 } .claimed { color: #767676 }
small { color: #595959 } pre { overflow-x: auto; background: #f4f4f4; padding: .7rem }
details > summary { cursor: pointer }
@media (prefers-color-scheme: dark) {
  body, thead th { background: #161616; color: #e8e8e8 } th, td { border-color: #3a3a3a }
  pre { background: #242424 } small, .claimed { color: #a8a8a8 }
  .passed, .holds { color: #6fcf84 } .failed, .unexpected, .run { color: #ff8a94 }
  .known, .differs, .follows, .thin { color: #e5b25d }
}
"""


def as_html(reports: Sequence[Report]) -> str:
    """Return reports as one static page without scripts.

    Args:
        reports: Reports, one for each saver.

    Returns:
        The text of the file.
    """
    return "\n".join(_page(reports)) + "\n"


def _page(reports: Sequence[Report]) -> Iterator[str]:
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Saver conformance</title><style>{_STYLE}</style></head><body>"
    yield "<h1>Saver conformance</h1>"
    yield "<table><thead><tr><th scope='col'>Clause</th>"
    for report in reports:
        yield f"<th scope='col'>{escape(title(report))}<br><small>{escape(_counts(report))}</small>"
        yield "</th>"
    yield "</tr></thead><tbody>"
    by_saver = [{r.clause.id: r for r in report.results} for report in reports]
    capability = None
    for clause in _clauses(reports):
        if clause.capability is not capability:
            capability = clause.capability
            yield f"<tr><th colspan='{len(reports) + 1}' scope='colgroup'>{capability}</th></tr>"
        yield f"<tr><th scope='row'><code>{clause.id}</code> <small>{_kind(clause)}</small><br>"
        yield f"<small>{escape(clause.sentence)} Source: {escape(clause.source)}.</small></th>"
        for results in by_saver:
            yield _cell(results.get(clause.id))
        yield "</tr>"
    yield "</tbody></table></body></html>"


def _clauses(reports: Sequence[Report]) -> list[Clause]:
    found = {r.clause.id: r.clause for report in reports for r in report.results}
    order = list(dict.fromkeys(c.capability for c in found.values()))
    return sorted(found.values(), key=lambda c: order.index(c.capability))


def _kind(clause: Clause) -> str:
    return "unspecified" if clause.unspecified else str(clause.severity)


def _counts(report: Report) -> str:
    return ", ".join(f"{report.count(s)} {s}" for s in Status if report.count(s))


def _cell(result: ClauseResult | None) -> str:
    if result is None:
        return "<td class='v'></td>"
    kind = result.status.value.split()[-1 if result.status is Status.NOT_RUN else 0]
    kind = "claimed" if result.status is Status.NOT_CLAIMED else kind
    mark = f"<span class='{kind}'>{_MARKS[result.status]}</span>"
    examples = f" <small>{result.examples}</small>" if result.examples else ""
    details = "".join(f"<p>{escape(t)}</p>" for t in (result.note,) if t)
    for apis, failure in result.distinct_failures:
        details += f"<p>Found with the {escape(apis)} API: {escape(failure.message)}</p>"
        details += f"<pre>{escape(failure.program)}</pre>"
    if details:
        return f"<td><details><summary>{mark}{examples}</summary>{details}</details></td>"
    return f"<td class='v'>{mark}{examples}</td>"
