"""README.md, docs/ and the report show the figures of the committed results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from benches import readme, report
from benches.cli import main
from benches.results import Results

from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = ROOT / "benches" / "results"


def test_pages_show_the_committed_results() -> None:
    assert main(["report", "--check"]) == 0


def test_readme_has_three_figures_one_of_them_unfavorable() -> None:
    rows = report.highlights(Results.load(RESULTS / "results.json")).splitlines()[2:]
    assert len(rows) == 3
    results = Results.load(RESULTS / "results.json")
    ours = results.metric("operations", "lmdb", "put_500b_p50")
    sqlite = results.metric("operations", "sqlite", "put_500b_p50")
    assert ours is not None
    assert sqlite is not None
    assert ours > sqlite
    assert "put 0.5 KB" in rows[-1]


def test_other_results_change_the_pages() -> None:
    raw = json.loads((RESULTS / "results.json").read_text("utf-8"))
    for run in raw["runs"]:
        if (run["workload"], run["saver"]) == ("operations", "lmdb"):
            run["metrics"]["put_500b_p50"] = 0.000123
    for page, text in readme.pages(Results(raw), RESULTS):
        assert "123 µs" in text
        assert text != page.read_text("utf-8")


def test_a_page_without_markers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "README.md"
    page.write_text("# Nothing\n")
    monkeypatch.setattr(readme, "README", page)
    with pytest.raises(ValueError, match="lacks the markers"):
        list(readme.pages(Results.load(RESULTS / "results.json"), RESULTS))
