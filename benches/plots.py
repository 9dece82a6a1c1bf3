"""SVG plots: disk and time over turns, latency distributions, throughput over threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure

from benches.savers import SAVERS
from benches.workloads import WORKLOADS
from benches.workloads.scale import SIZES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes

    from benches.results import Curve, Results

# Equal data must produce equal bytes: no random ids, no dates, glyphs as paths.
_STYLE: Any = {
    "svg.hashsalt": "langgraph-lmdb",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
_COLORS = {
    "floor": "#b0b0b0",
    "memory": "#7f7f7f",
    "sqlite": "#1f77b4",
    "postgres": "#9467bd",
    "lmdb-peer": "#ff7f0e",
    "lmdb": "#d62728",
    "lmdb-unflushed": "#f4a3a3",
}
_LATENCIES = {
    "put_500b": "put 0.5 KB",
    "put_20k": "put 20 KB",
    "put_500k": "put 500 KB",
    "get_500b": "get_tuple 0.5 KB",
    "get_20k": "get_tuple 20 KB",
    "get_500k": "get_tuple 500 KB",
}

_AT_SCALE = {
    "get_p50": "get",
    "list_long_p50": "list(limit=5) of a long thread",
    "put_p50": "put",
}

Scale = Literal["linear", "log"]


def draw_all(results: Results, folder: Path) -> None:
    """Write the plots that the results have data for, and delete the others."""
    with mpl.rc_context(_STYLE):
        for name, draw in _PLOTS.items():
            path = folder / f"{name}.svg"
            figure = draw(results)
            if figure is None:
                path.unlink(missing_ok=True)
            else:
                figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


def _over_steps(workload: str, series: str, unit: str, x: str, scale: Scale, factor: float) -> Any:
    def draw(results: Results) -> Figure | None:
        curves = _curves(results, workload, series)
        if not curves:
            return None
        figure, axes = _figure()
        for name, curve in curves.items():
            xs, ys = zip(*curve, strict=True)
            axes.plot(xs, [y / factor for y in ys], **_line(workload, name))
        axes.set(title=WORKLOADS[workload].title, xlabel=x, ylabel=unit, yscale=scale)
        axes.legend()
        return figure

    return draw


def _throughput(results: Results) -> Figure | None:
    curves = _curves(results, "threads", "throughput")
    if not curves:
        return None
    figure, axes = _figure()
    for name, curve in curves.items():
        xs, ys = zip(*curve, strict=True)
        axes.plot(xs, ys, marker="o", **_line("threads", name))
    axes.set(
        title=WORKLOADS["threads"].title, xlabel="threads", ylabel="rounds a second", yscale="log"
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks([x for x, _ in next(iter(curves.values()))])
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.legend()
    return figure


def _operations(results: Results) -> Figure | None:
    savers = [
        name for name in results.savers("operations") if results.problem("operations", name) is None
    ]
    if not savers:
        return None
    figure = Figure(figsize=(11, 6), layout="constrained")
    panels = figure.subplots(2, 3)
    for axes, (operation, label) in zip(panels.flat, _LATENCIES.items(), strict=True):
        for name in savers:
            quantiles = results.distribution("operations", name, operation)
            if quantiles:
                axes.plot(
                    [value * 1e6 for value in quantiles],
                    range(1, len(quantiles) + 1),
                    **_line("operations", name),
                )
        axes.set(title=label, xscale="log", xlabel="µs", ylabel="percentile")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(savers))
    return figure


def _scale(results: Results) -> Figure | None:
    savers = results.savers(max(SIZES, key=lambda name: len(results.savers(name))))
    if sum(bool(results.savers(name)) for name in SIZES) < 2:
        return None
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, (metric, label) in zip(panels, _AT_SCALE.items(), strict=True):
        for saver in savers:
            points = [
                (size, value * 1e6)
                for name, size in SIZES.items()
                if (value := results.metric(name, saver, metric)) is not None
            ]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", **_line("scale-1k", saver))
        axes.set(title=label, xscale="log", yscale="log", xlabel="checkpoints", ylabel="µs, p50")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(savers))
    return figure


_PLOTS: dict[str, Callable[[Results], Figure | None]] = {
    "chat-disk": _over_steps("chat", "disk", "disk, MB", "turn", "log", 1e6),
    "chat-wall": _over_steps("chat", "wall", "seconds so far", "turn", "linear", 1),
    "chat-long-wall": _over_steps("chat-long", "wall", "seconds so far", "turn", "linear", 1),
    "files-disk": _over_steps("files", "disk", "disk, MB", "step", "log", 1e6),
    "document-disk": _over_steps("document", "disk", "disk, MB", "step", "log", 1e6),
    "operations": _operations,
    "threads": _throughput,
    "scale": _scale,
}


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.2))
    return figure, figure.subplots()


def _line(workload: str, saver: str) -> dict[str, Any]:
    return {
        "label": SAVERS[saver].title_for(WORKLOADS[workload].api),
        "color": _COLORS[saver],
        "linewidth": 2.4 if saver == "lmdb" else 1.4,
    }


def _curves(results: Results, workload: str, series: str) -> dict[str, Curve]:
    found = {name: results.curve(workload, name, series) for name in results.savers(workload)}
    return {name: curve for name, curve in found.items() if curve}
