"""The report in Markdown: goals, figures, durability and the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benches.goals import GOALS
from benches.savers import OURS, SAVERS
from benches.units import format_value
from benches.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benches.goals import Goal
    from benches.model import Metric, Workload
    from benches.results import Results


def render(results: Results, folder: Path) -> str:
    """Return the whole report, with the plots in its folder."""
    plots = sorted(path.name for path in folder.glob("*.svg"))
    sections = ["# Benchmarks", about(results)]
    if OURS in results.raw["savers"]:
        sections += ["## Goals", goals_table(results)]
    for workload in WORKLOADS.values():
        if results.savers(workload.name):
            sections += [f"## {workload.title}", _workload_section(results, workload)]
    sections += ["## Plots", *(f"![{name}]({name})" for name in plots)] if plots else []
    return "\n\n".join(sections) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are right-aligned."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def about(results: Results) -> str:
    """Return the machine, the software and the durability settings of a run."""
    machine = results.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    intro = (
        f"{machine['date'][:10]}: {machine['cores']} cores ({machine['cpu']}), "
        f"{format_value(machine['memory'], 'B')} of memory, {machine['filesystem']}, "
        f"{format_value(machine['fdatasync'], 's')} per fdatasync, Linux {machine['kernel']}, "
        f"Python {machine['python']}, {versions}. Load average {machine['load_before']:.2f} "
        f"before, {machine['load_after']:.2f} after (one process measures at a time). "
        "Every pair of workload and saver runs in its own process "
        'and folder; graphs run with `durability="sync"`. "Disk" is the allocated blocks of '
        "the closed store's files; for PostgreSQL, the growth of its database without the "
        "write-ahead log."
    )
    quick = "**A quick run with reduced sizes: the figures show only that the benchmarks work.**"
    missing = [f"**Not measured: {title}**, {reason}." for title, reason in results.missing.items()]
    durability = table(
        ("saver", "version", "durability of what is measured"),
        (
            (SAVERS[name].title, details["version"], SAVERS[name].durability)
            for name, details in results.raw["savers"].items()
        ),
    ).replace("---:", "---")
    return "\n\n".join((*([quick] if results.quick else []), intro, *missing, durability))


def goals_table(results: Results) -> str:
    return table(("", "LmdbSaver", "goal", ""), (_goal_row(results, goal) for goal in GOALS))


def _goal_row(results: Results, goal: Goal) -> Sequence[str]:
    target = goal.target()
    measured = goal.measure(results)
    if measured is None:
        return goal.title, "not measured", target, ""
    if results.quick:
        return goal.title, goal.format(measured), target, "not judged"
    verdict = "met" if goal.is_met(measured) else "**not met**"
    return goal.title, goal.format(measured), target, verdict


def _workload_section(results: Results, workload: Workload) -> str:
    """Return the figures with savers as columns, then the failed and unsupported pairs."""
    savers = results.savers(workload.name)
    titles = [SAVERS[name].title_for(workload.api) for name in savers]
    problems = [
        f"- {title}: {problem}"
        for name, title in zip(savers, titles, strict=True)
        if (problem := results.problem(workload.name, name))
    ]
    rows = [
        [metric.label, *cells]
        for metric in workload.metrics
        if any(cells := _cells(results, workload, metric, savers))
    ]
    repeats = max(results.repeats(workload.name, name) for name in savers)
    median = f"Medians of {repeats} repeats." if repeats > 1 else ""
    parts = (median, table(("", *titles), rows) if rows else "", "\n".join(problems))
    return "\n\n".join(filter(None, parts))


def _cells(
    results: Results, workload: Workload, metric: Metric, savers: Sequence[str]
) -> list[str]:
    values = [results.metric(workload.name, name, metric.name) for name in savers]
    return ["" if value is None else format_value(value, metric.unit) for value in values]


_HIGHLIGHTS = (
    ("chat", "disk"),
    ("chat", "wall"),
    ("operations", "put_500b_p50"),
)
"""The rows of the README. The last one is unfavorable to LmdbSaver."""
_HIGHLIGHTED_SAVERS = ("memory", "sqlite", "postgres", OURS)

_HEADLINES = (
    ("chat", ("wall", "disk", "get_state_p50")),
    ("history", ("history",)),
    ("listing", ("peak",)),
    ("files", ("wall", "disk")),
    ("document", ("wall", "disk")),
    ("delta", ("wall", "disk")),
    ("superstep", ("superstep_p50",)),
    ("operations", ("put_500b_p50", "put_20k_p50", "put_500k_p50", "get_500b_p50")),
    ("threads", ("throughput",)),
    ("asyncio", ("turns", "lag_p99")),
    ("scale-1m", ("open", "get_p50", "put_p50")),
)


def highlights(results: Results) -> str:
    """Return the three figures of the README as a table."""
    savers = [name for name in _HIGHLIGHTED_SAVERS if name in results.raw["savers"]]
    return _figures_table(results, _HIGHLIGHTS, savers)


def headlines(results: Results) -> str:
    """Return one row for each of the chosen metrics, with every saver as a column."""
    chosen = [(workload, metric) for workload, metrics in _HEADLINES for metric in metrics]
    return _figures_table(results, chosen, list(results.raw["savers"]))


def summary(results: Results) -> str:
    """Return the machine and the date of a run in a few words."""
    machine = results.machine
    return (
        f"{machine['cores']} cores, {machine['filesystem']}, "
        f"{format_value(machine['fdatasync'], 's')} per fdatasync, {machine['date'][:10]}"
    )


def _figures_table(
    results: Results, chosen: Iterable[tuple[str, str]], savers: Sequence[str]
) -> str:
    rows = []
    for workload_name, metric_name in chosen:
        workload = WORKLOADS[workload_name]
        metric = next(metric for metric in workload.metrics if metric.name == metric_name)
        cells = _cells(results, workload, metric, savers)
        if any(cells):
            rows.append([f"{workload.title}: {metric.label}", *cells])
    return table(("", *(SAVERS[name].title for name in savers)), rows)
