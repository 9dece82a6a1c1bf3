"""The README's figures: a block between two markers that only this module writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from benches import report

if TYPE_CHECKING:
    from pathlib import Path

    from benches.results import Results

BEGIN, END = "<!-- benches:begin -->", "<!-- benches:end -->"
_PLOTS = ("chat-disk", "chat-wall", "threads", "operations")


def with_figures(readme: Path, results: Results, folder: Path) -> str:
    """The README's text with the block made anew from the results in `folder`."""
    before, begin, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme} lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{_block(results, folder, readme.parent)}\n{END}{after}"


def _block(results: Results, folder: Path, root: Path) -> str:
    relative = os.path.relpath(folder, root)
    images = [
        f"![{name}]({relative}/{name}.svg)" for name in _PLOTS if (folder / f"{name}.svg").exists()
    ]
    parts = (
        report.headlines(results),
        "\n".join(images),
        report.about(results),
        f"All figures: [{relative}/report.md]({relative}/report.md).",
    )
    return "\n\n".join(filter(None, parts))
