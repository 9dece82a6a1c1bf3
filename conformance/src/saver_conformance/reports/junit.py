"""JUnit XML reports, for continuous integration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from saver_conformance.result import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saver_conformance.result import ClauseResult, Report

_SKIPPED = (Status.THIN, Status.NOT_CLAIMED, Status.KNOWN_FAILURE, Status.FOLLOWS, Status.DIFFERS)

#: Characters that XML 1.0 excludes; ids in a program may contain them.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def as_junit(reports: Sequence[Report]) -> str:
    """Return reports as JUnit XML: a suite for each saver and a test case for each clause.

    Args:
        reports: Reports, one for each saver.

    Returns:
        The text of the file.
    """
    root = ET.Element("testsuites")
    for report in reports:
        results = report.results
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_clean(report.name),
            tests=str(len(results)),
            failures=str(sum(r.status in (Status.FAILED, Status.UNEXPECTED_PASS) for r in results)),
            errors=str(report.count(Status.NOT_RUN)),
            skipped=str(sum(r.status in _SKIPPED for r in results)),
            time=f"{report.seconds:.3f}",
        )
        for result in results:
            _case(suite, result)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, result: ClauseResult) -> None:
    clause = result.clause
    capability = str(clause.capability)
    seconds = f"{result.seconds:.3f}"
    case = ET.SubElement(suite, "testcase", classname=capability, name=clause.id, time=seconds)
    found = result.distinct_failures
    text = _clean("\n".join(failure.program for _, failure in found))
    messages = [f"{apis} API: {failure.message}" for apis, failure in found]
    message = _clean("; ".join(messages) or result.note or str(result.status))
    if result.status in (Status.FAILED, Status.UNEXPECTED_PASS):
        ET.SubElement(case, "failure", type=str(clause.severity), message=message).text = text
    elif result.status is Status.NOT_RUN:
        ET.SubElement(case, "error", message=message)
    elif result.status in _SKIPPED:
        ET.SubElement(case, "skipped", message=f"{result.status}: {message}")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
