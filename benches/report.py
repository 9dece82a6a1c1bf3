"""The report in Markdown: goals, figures, durability and the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benches.goals import GOALS
from benches.savers import OURS, SAVERS
from benches.units import shown
from benches.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benches.goals import Goal
    from benches.model import Metric, Workload
    from benches.results import Results


def render(results: Results, folder: Path) -> str:
    """The whole report, with the plots that its folder has."""
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
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def about(results: Results) -> str:
    """Where and how the run was made: what has to be known to read its figures."""
    machine = results.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    intro = (
        f"{machine['date'][:10]}: {machine['cores']} cores ({machine['cpu']}), "
        f"{shown(machine['memory'], 'B')} of memory, {machine['filesystem']}, "
        f"{shown(machine['fdatasync'], 's')} per fdatasync, Linux {machine['kernel']}, "
        f"Python {machine['python']}, {versions}. Load average {machine['load_before']:.2f} "
        f"before, {machine['load_after']:.2f} after (one process measures at a time). "
        "Every pair of workload and saver runs in a process "
        'and a folder of its own; graphs run with `durability="sync"`. Disk is what the blocks of '
        "the closed store's files occupy; PostgreSQL's is what its database grew by, without its "
        "write-ahead log."
    )
    quick = "**A quick run: the sizes are reduced, the figures show only that it works.**"
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
    aim = goal.aim()
    reached = goal.reached(results)
    if reached is None:
        return goal.title, "not measured", aim, ""
    if results.quick:
        return goal.title, goal.written(reached), aim, "not judged"
    return goal.title, goal.written(reached), aim, "met" if goal.met(reached) else "**not met**"


def _workload_section(results: Results, workload: Workload) -> str:
    """Figures with the savers as columns, then what could not be measured and why."""
    savers = results.savers(workload.name)
    titles = [SAVERS[name].titled(workload.face) for name in savers]
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
    return ["" if value is None else shown(value, metric.unit) for value in values]


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


def headlines(results: Results) -> str:
    """The figures of the README: one row for each of the chosen metrics."""
    savers = list(results.raw["savers"])
    rows = []
    for name, chosen in _HEADLINES:
        workload = WORKLOADS[name]
        metrics = {metric.name: metric for metric in workload.metrics}
        for metric in map(metrics.__getitem__, chosen):
            cells = _cells(results, workload, metric, savers)
            if any(cells):
                rows.append([f"{workload.title}: {metric.label}", *cells])
    return table(("", *(SAVERS[name].title for name in savers)), rows)
