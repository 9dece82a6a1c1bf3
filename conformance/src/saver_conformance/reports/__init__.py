"""Reports of a run, for people and for tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from saver_conformance.report_data import ReportData
from saver_conformance.reports.badge import as_badge
from saver_conformance.reports.html import as_html
from saver_conformance.reports.junit import as_junit
from saver_conformance.reports.markdown import as_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from saver_conformance.result import Report

__all__ = [
    "FORMATS",
    "as_badge",
    "as_html",
    "as_json",
    "as_junit",
    "as_markdown",
    "json_schema",
    "write",
]


def as_json(reports: Sequence[Report]) -> str:
    """Return reports as JSON: a list with one object for each saver.

    Args:
        reports: The reports.

    Returns:
        The text of the file.
    """
    return json.dumps([report.as_dict() for report in reports], indent=2) + "\n"


def json_schema() -> str:
    """Return the JSON schema of `as_json`, as JSON."""
    return json.dumps(TypeAdapter(list[ReportData]).json_schema(), indent=2) + "\n"


#: Renderers by file suffix.
FORMATS = {
    ".json": as_json,
    ".md": as_markdown,
    ".xml": as_junit,
    ".html": as_html,
    ".svg": as_badge,
}


def write(reports: Sequence[Report], path: Path) -> None:
    """Write reports to a file, in the format of its suffix.

    Args:
        reports: Reports, one for each saver.
        path: File with the suffix `.json`, `.md`, `.xml` (JUnit), `.html` or `.svg`.

    Raises:
        ValueError: If the suffix is unknown.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"path must end in one of {', '.join(FORMATS)}, got {path.name}")
    path.write_text(FORMATS[path.suffix](reports), encoding="utf-8")
