"""The JSON of a run: medians over repeats, errors and curves."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Curve = list[tuple[float, float]]


class Results:
    """The measurements of a run, by workload and saver."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.quick: bool = raw["quick"]
        self.machine: dict[str, Any] = raw["machine"]
        self.missing: dict[str, str] = raw["missing"]

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read a JSON file."""
        return cls(json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Write a JSON file with one line per run, so that its diffs are readable."""
        runs = ",\n".join(json.dumps(_rounded(run)) for run in self.raw["runs"])
        rest = json.dumps({**self.raw, "runs": []}, indent=1)
        path.write_text(rest.replace('"runs": []', f'"runs": [\n{runs}\n ]') + "\n")

    def savers(self, workload: str) -> list[str]:
        """Return the savers that the workload was run with, in the order of the run."""
        return list(dict.fromkeys(run["saver"] for run in self._runs(workload)))

    def metric(self, workload: str, saver: str, name: str) -> float | None:
        """Return the median over the repeats, or None if there are no measurements."""
        found = [run["metrics"][name] for run in self._measured(workload, saver, name)]
        return statistics.median(found) if found else None

    def repeats(self, workload: str, saver: str) -> int:
        """Return the number of repeats of a workload with a saver."""
        return len(self._runs(workload, saver))

    def curve(self, workload: str, saver: str, name: str) -> Curve | None:
        """Return a series of the first repeat that has it, or None."""
        for run in self._runs(workload, saver):
            if name in run.get("series", {}):
                return [(x, y) for x, y in run["series"][name]]
        return None

    def distribution(self, workload: str, saver: str, name: str) -> list[float] | None:
        """Return the percentiles of the first repeat that has them, or None."""
        for run in self._runs(workload, saver):
            if name in run.get("distributions", {}):
                return list(run["distributions"][name])
        return None

    def problem(self, workload: str, saver: str) -> str | None:
        """Return the first error of a workload with a saver, or None."""
        for run in self._runs(workload, saver):
            for kind in ("error", "unsupported"):
                if kind in run:
                    return f"{kind}: {run[kind]}"
        return None

    def _measured(self, workload: str, saver: str, name: str) -> list[dict[str, Any]]:
        return [run for run in self._runs(workload, saver) if name in run.get("metrics", {})]

    def _runs(self, workload: str, saver: str | None = None) -> list[dict[str, Any]]:
        return [
            run
            for run in self.raw["runs"]
            if run["workload"] == workload and saver in (None, run["saver"])
        ]


def _rounded(value: Any) -> Any:
    """Round all floats to six significant digits. More digits are noise."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
