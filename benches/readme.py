"""The figures in README.md and docs/design/performance.md, between two markers in each page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from benches import report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benches.results import Results

BEGIN, END = "<!-- benches:begin -->", "<!-- benches:end -->"
ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PERFORMANCE = ROOT / "docs" / "design" / "performance.md"
_PLOTS = ("chat-disk", "chat-wall", "threads", "operations")


def pages(results: Results, folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each page with the text that shows the results in `folder`.

    Raises:
        ValueError: A page lacks a marker.
    """
    yield README, _replace_block(README, _readme_block(results, folder))
    yield PERFORMANCE, _replace_block(PERFORMANCE, _performance_block(results, folder))


def _replace_block(page: Path, block: str) -> str:
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def _readme_block(results: Results, folder: Path) -> str:
    about = (
        f"One run on {report.summary(results)}. Compare ratios; absolute numbers depend on the "
        f"machine.\n[All figures]({os.path.relpath(folder, ROOT)}/report.md), and "
        f"[what they mean]({PERFORMANCE.relative_to(ROOT)})."
    )
    return f"{report.highlights(results)}\n\n{about}"


def _performance_block(results: Results, folder: Path) -> str:
    relative = os.path.relpath(folder, PERFORMANCE.parent)
    images = [
        f"![{name}]({relative}/{name}.svg)" for name in _PLOTS if (folder / f"{name}.svg").exists()
    ]
    parts = (
        report.headlines(results),
        "\n".join(images),
        report.about(results),
        f"All figures: [report.md]({relative}/report.md).",
    )
    return "\n\n".join(filter(None, parts))
