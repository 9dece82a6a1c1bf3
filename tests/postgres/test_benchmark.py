"""The benchmark runs with few turns, on a given server, and compares equal work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from benches import postgres as benchmark

if TYPE_CHECKING:
    import pytest


def test_benchmark_prints_figures_and_ratios(
    postgres: str, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark.main(["--quick", "--only", "chat", "--server", postgres])
    rows = [line for line in capsys.readouterr().out.splitlines() if "│ chat: " in line]
    assert len(rows) == 5
    with psycopg.connect(postgres) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'bench'").fetchall()
    assert found == []


def test_delayed_connection_reaches_the_server(postgres: str) -> None:
    with benchmark._delayed(postgres, 0.002) as conninfo, psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
