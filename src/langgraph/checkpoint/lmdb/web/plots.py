"""Plots: the geometry of bar charts, drawn by the templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from langgraph.checkpoint.lmdb.views.formats import size
from langgraph.checkpoint.lmdb.views.statistics import StatisticsView

WIDTH, HEIGHT = 560, 150
_MOST_BARS = 60
_WIDEST = 48
_GAP = 2


@dataclass(frozen=True)
class Bar:
    """A bar of a plot."""

    x: float
    y: float
    width: float
    height: float
    label: str
    """What the bar is and how much."""


@dataclass(frozen=True)
class Plot:
    """A plot of bars from left to right."""

    title: str
    bars: list[Bar]
    most: str
    """Value at the upper edge."""
    first: str
    """Label at the left edge."""
    last: str
    """Label at the right edge."""


@dataclass(frozen=True)
class Share:
    """A size beside others."""

    label: str
    text: str
    percent: float
    """Size as a part of the largest."""


def growth(found: StatisticsView) -> list[Plot]:
    """Return the plots of the threads that were created, and of the bytes of all so far."""
    if not found.growth:
        return []
    first, last = (date.fromisoformat(found.growth[at][0]) for at in (0, -1))
    days = (last - first).days + 1
    step = -(-days // _MOST_BARS)
    threads, sizes = [0] * -(-days // step), [0] * -(-days // step)
    for day, count, bytes_ in found.growth:
        at = (date.fromisoformat(day) - first).days // step
        threads[at] += count
        sizes[at] += bytes_
    for at in range(1, len(sizes)):
        sizes[at] += sizes[at - 1]
    names = [(first + timedelta(days=step * at)).isoformat() for at in range(len(threads))]
    unit = "day" if step == 1 else f"{step} days"
    return [
        _plot(f"Threads created per {unit}", names, threads, [f"{one:,}" for one in threads]),
        _plot("Size of the threads created so far", names, sizes, [*map(size, sizes)]),
    ]


def by_size(found: StatisticsView) -> Plot:
    """Return the plot of the numbers of threads by size."""
    names = [f"from {size(bound)}" for bound, _ in found.sizes]
    counts = [count for _, count in found.sizes]
    return _plot("Threads by size", names, counts, [f"{one:,}" for one in counts])


def shares(found: StatisticsView) -> list[Share]:
    """Return the sizes that show what sharing and compression save."""
    sizes = [
        ("All values of all checkpoints, as JSON", found.value_bytes or 0),
        ("Records and values, as they are stored", found.totals.bytes),
        ("The file, with indexes and free pages", found.totals.file_bytes),
    ]
    largest = max(count for _, count in sizes) or 1
    return [Share(label, size(count), 100 * count / largest) for label, count in sizes if count]


def _plot(title: str, names: Sequence[str], values: Sequence[int], texts: Sequence[str]) -> Plot:
    most = max(values, default=0)
    width = min(WIDTH / max(len(values), 1), _WIDEST)
    bars = [
        Bar(
            round(at * width, 1),
            round(HEIGHT - HEIGHT * value / most, 1),
            round(max(width - _GAP, 1), 1),
            round(HEIGHT * value / most, 1),
            f"{name}: {text}",
        )
        for at, (name, value, text) in enumerate(zip(names, values, texts, strict=True))
        if value
    ]
    highest = texts[values.index(most)] if values else "0"
    return Plot(
        title, bars, highest, names[0] if names else "", names[-1] if len(names) > 1 else ""
    )
