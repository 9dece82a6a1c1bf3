"""The benchmark of snapshots runs with few versions, and compares equal data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benches import snapshots

if TYPE_CHECKING:
    import pytest


def test_benchmark_prints_sizes_and_times(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benches.snapshots", "--versions", "100"])
    snapshots.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines if line.startswith("  ")] == [
        "each version whole",
        "LmdbSnapshotStore",
        "of 10 versions",
        "of 100",
    ]
