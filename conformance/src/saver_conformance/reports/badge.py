"""A badge for a README: an SVG image that needs no service."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from saver_conformance.result import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saver_conformance.result import Report

_LABEL = "saver conformance"
_GREEN, _YELLOW, _RED, _GRAY = "#2e7d32", "#9a6700", "#c62828", "#555"
_HEIGHT = 20
#: Widths in pixels: of a character at the size of the text, and of the margins of a half.
_CHARACTER, _MARGIN = 7, 12


def as_badge(reports: Sequence[Report]) -> str:
    """Return a badge: passed clauses, failed clauses, and known failures of all reports.

    Args:
        reports: Reports, one for each saver.

    Returns:
        The text of an SVG file.
    """
    text, color = _result(reports)
    left, right = (_CHARACTER * len(half) + _MARGIN for half in (_LABEL, text))
    svg = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        width=str(left + right),
        height=str(_HEIGHT),
        role="img",
    )
    ET.SubElement(svg, "title").text = f"{_LABEL}: {text}"
    for start, width, fill, shown in ((0, left, _GRAY, _LABEL), (left, right, color, text)):
        ET.SubElement(svg, "rect", x=str(start), width=str(width), height=str(_HEIGHT), fill=fill)
        ET.SubElement(
            svg,
            "text",
            {"x": str(start + width // 2), "y": "14", "fill": "#fff", "text-anchor": "middle"}
            | {"font-family": "Verdana, sans-serif", "font-size": "11"},
        ).text = shown
    return ET.tostring(svg, encoding="unicode") + "\n"


def _result(reports: Sequence[Report]) -> tuple[str, str]:
    """Return the text and the color of the right half."""
    passed = sum(r.count(Status.PASSED) + r.count(Status.HOLDS) for r in reports)
    known = sum(r.count(Status.KNOWN_FAILURE) for r in reports)
    bad = sum(result.status.bad for r in reports for result in r.results)
    bad += sum(len(r.unknown_failures) for r in reports)
    if bad:
        return f"{passed} passed, {bad} failed", _RED
    if known:
        return f"{passed} passed, {known} known failures", _YELLOW
    return f"{passed} passed", _GREEN
