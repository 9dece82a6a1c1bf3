"""The performance goals of LmdbSaver, as ratios of figures of one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benches.savers import OURS
from benches.units import format_value

if TYPE_CHECKING:
    from benches.model import Unit
    from benches.results import Results

Comparison = Literal["at most", "at least"]


@dataclass(frozen=True)
class Figure:
    """A metric of a workload, measured with one saver."""

    workload: str
    metric: str
    saver: str = OURS

    def value(self, results: Results) -> float | None:
        """Return the median of the metric, or None if it was not measured."""
        return results.metric(self.workload, self.saver, self.metric)


@dataclass(frozen=True)
class Goal:
    """A bound for a figure of LmdbSaver, or for its ratio to another figure."""

    title: str
    ours: Figure
    comparison: Comparison
    bound: float
    baseline: Figure | None = None
    baseline_title: str = ""
    unit: Unit | None = None

    def measure(self, results: Results) -> float | None:
        """Return the figure or the ratio, or None if it was not measured."""
        value = self.ours.value(results)
        if value is None or self.baseline is None:
            return value
        baseline = self.baseline.value(results)
        return value / baseline if baseline else None

    def is_met(self, measured: float) -> bool:
        """Return True if the measured value satisfies the bound."""
        return measured <= self.bound if self.comparison == "at most" else measured >= self.bound

    def target(self) -> str:
        """Return the bound in words."""
        if self.baseline is None:
            return f"{self.comparison} {self.format(self.bound)}"
        of = "of" if self.bound < 1 else "times"
        return f"{self.comparison} {self.format(self.bound)} {of} {self.baseline_title}"

    def format(self, value: float) -> str:
        """Return a value in the unit of the goal, or a ratio without a unit."""
        if self.unit is not None:
            return format_value(value, self.unit)
        if value < 0.1:
            return f"1/{1 / value:.0f}"
        return f"{value:.3g}"


def _versus(
    title: str,
    workload: str,
    metric: str,
    comparison: Comparison,
    bound: float,
    peer: str,
    peer_title: str,
) -> Goal:
    ours, theirs = Figure(workload, metric), Figure(workload, metric, peer)
    return Goal(title, ours, comparison, bound, theirs, peer_title)


def _at_scale(title: str, metric: str) -> Goal:
    large, small = Figure("scale-1m", metric), Figure("scale-1k", metric)
    return Goal(f"{title} at 1,000,000 checkpoints", large, "at most", 1.3, small, "1,000")


def _per_value(title: str, method: str) -> Goal:
    many, few = Figure("many", f"{method}_many"), Figure("many", f"{method}_few")
    return Goal(f"{title}: time per value", many, "at most", 1.5, few, "1,000")


_SQLITE = ("sqlite", "SqliteSaver")
_MEMORY = ("memory", "InMemorySaver")

GOALS = (
    _versus("chat, 300 turns: disk", "chat", "disk", "at most", 1 / 250, *_SQLITE),
    _versus("files: disk", "files", "disk", "at most", 1 / 150, *_SQLITE),
    _versus("files: wall", "files", "wall", "at most", 0.5, *_SQLITE),
    _versus("document: disk", "document", "disk", "at most", 1 / 100, *_SQLITE),
    _versus("document: wall", "document", "wall", "at most", 0.7, *_SQLITE),
    _versus("chat, 300 turns: wall", "chat", "wall", "at most", 0.5, *_MEMORY),
    Goal(
        "chat, 600 turns: wall",
        Figure("chat-long", "wall"),
        "at most",
        3,
        Figure("chat", "wall"),
        "300 turns",
    ),
    _versus("chat: get_state at the end", "chat", "get_state_p50", "at most", 0.5, *_MEMORY),
    _versus("chat: history of 1500", "history", "history", "at most", 0.5, *_MEMORY),
    Goal(
        "50 forks of the chat, one more turn in each: disk",
        Figure("forks", "disk"),
        "at most",
        1.2,
        Figure("forks", "one"),
        "the chat alone",
    ),
    _versus("superstep of 1 KB", "superstep", "superstep_p50", "at most", 1.0, *_SQLITE),
    _versus(
        "16 threads, durable put + put_writes + get",
        "threads",
        "throughput",
        "at least",
        4,
        *_SQLITE,
    ),
    _versus(
        "64 asyncio conversations",
        "asyncio",
        "turns",
        "at least",
        2.5,
        "sqlite",
        "AsyncSqliteSaver",
    ),
    Goal(
        "64 asyncio conversations: loop lag p99",
        Figure("asyncio", "lag_p99"),
        "at most",
        0.010,
        unit="s",
    ),
    _per_value("put with 100,000 channels", "put"),
    _per_value("put_writes with 100,000 writes", "put_writes"),
    _at_scale("get", "get_p50"),
    _at_scale("list(limit=5)", "list_p50"),
    _at_scale("list(limit=5) of the long thread", "list_long_p50"),
    _at_scale("put", "put_p50"),
    Goal(
        "opening 1,000,000 checkpoints",
        Figure("scale-1m", "open"),
        "at most",
        0.050,
        unit="s",
    ),
    Goal(
        "threads(limit=50) of 100,000 threads",
        Figure("scale-1m", "threads_p50"),
        "at most",
        0.005,
        unit="s",
    ),
    Goal(
        "filter on run_id at 1,000,000 checkpoints",
        Figure("scale-1m", "filter_p50"),
        "at most",
        0.002,
        unit="s",
    ),
    Goal("sweep of expired checkpoints", Figure("sweep", "sweep"), "at least", 20_000, unit="1/s"),
    Goal(
        "put p99 during a sweep, over the p99 without",
        Figure("sweep", "disturbance"),
        "at most",
        0.025,
        unit="s",
    ),
    Goal(
        "listing 1500 checkpoints of the chat: peak memory over idle",
        Figure("listing", "peak"),
        "at most",
        60e6,
        unit="B",
    ),
)
