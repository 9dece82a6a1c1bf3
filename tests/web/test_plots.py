"""Statistics: the totals, and plots that are drawn by the server."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.views.statistics import StatisticsView, statistics_of
from langgraph.checkpoint.lmdb.web import measuring, plots
from tests.web.conftest import served
from tests.web.test_pages import put

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.web.conftest import Client

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc).timestamp()


def on_days(path: Path, days: list[int]) -> StatisticsView:
    """Return the statistics of a store with a thread for each day after the first of January."""
    with LmdbSaver(path, sync="off", clock=lambda: now[0]) as saver:
        now = [NOON]
        for number, day in enumerate(days):
            now[0] = NOON + 86400 * day
            put(saver, f"thread {number}")
        return statistics_of(saver, values=True)


def test_statistics_show_totals_and_plots(page_of_filled: Client) -> None:
    text = page_of_filled.get("/statistics")
    assert "<dt>Threads</dt><dd>6</dd>" in text
    assert "Threads created per day" in text
    assert "Threads by size" in text
    assert "Read all values" in text
    assert "times smaller" not in text
    assert re.search(r"\d times smaller", page_of_filled.get("/statistics?values=1"))


def test_plots_of_a_large_store_are_drawn_when_asked_for(
    page_of_filled: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_FEW", 5)
    text = page_of_filled.get("/statistics")
    assert "<figure>" not in text
    assert "Read 6 threads" in text
    assert "<figure>" in page_of_filled.get("/statistics?plots=1")


def test_an_empty_store_has_empty_plots(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store"), served(tmp_path / "store") as page:
        assert "<dt>Threads</dt><dd>0</dd>" in page.get("/statistics?values=1")


def test_growth_has_a_bar_for_each_day(tmp_path: Path) -> None:
    created, sizes = plots.growth(on_days(tmp_path / "store", [0, 0, 2]))
    assert created.title == "Threads created per day"
    assert [bar.label for bar in created.bars] == ["2026-01-01: 2", "2026-01-03: 1"]
    assert [bar.height for bar in created.bars] == [plots.HEIGHT, plots.HEIGHT / 2]
    assert (created.first, created.last, created.most) == ("2026-01-01", "2026-01-03", "2")
    heights = [bar.height for bar in sizes.bars]
    assert len(heights) == 3
    assert heights == sorted(heights)
    assert heights[-1] == plots.HEIGHT


def test_days_are_joined_when_there_are_many(tmp_path: Path) -> None:
    created, _ = plots.growth(on_days(tmp_path / "store", [0, 1, 364]))
    assert created.title == "Threads created per 7 days"
    assert [bar.label for bar in created.bars] == ["2026-01-01: 2", "2026-12-31: 1"]


def test_threads_are_counted_by_size(tmp_path: Path) -> None:
    found = on_days(tmp_path / "store", [0, 0])
    (group,) = found.sizes
    assert group[0] <= found.totals.bytes // 2 < 4 * group[0]
    assert group[1] == 2
    assert [bar.label for bar in plots.by_size(found).bars] == [f"from {group[0]} B: 2"]
    assert plots.shares(found)[0].percent <= 100
