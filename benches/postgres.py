"""CompactPostgresSaver and PostgresSaver on one server: `python -m benches.postgres`.

It measures both by turns, each in a process of its own, and prints their ratios beside the goals.
A proxy delays each trip to the server.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from rich.console import Console
from rich.table import Table

from benches import machine, postgres_server
from benches.agent import build_agent, thread
from benches.cli import add_server
from benches.measure import database_size, elapsed
from benches.model import Bench, Location, Unit
from benches.savers import OURS_ON_POSTGRES, SAVERS
from benches.units import format_value
from benches.workloads import WORKLOADS, chat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benches.postgres_server import Server

PEER = "postgres"
TRIP = 0.001
"""Seconds that the proxy adds to a trip."""
_DATABASE = "bench"
_COLD_READS, _QUICK_COLD_READS = 9, 2


class Goal(NamedTuple):
    """A bound for the ratio of a figure of CompactPostgresSaver to the one of PostgresSaver."""

    title: str
    workload: str
    metric: str
    unit: Unit
    bound: float
    """The highest ratio, or of rates the lowest."""
    is_delayed: bool = False

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.unit == "1/s" else ratio <= self.bound


GOALS = (
    Goal("chat: disk", "chat", "disk", "B", 1 / 100),
    Goal("chat: write-ahead log", "chat", "wal", "B", 1 / 40),
    Goal("chat: wall", "chat", "wall", "s", 0.5),
    Goal("chat: get_state, warm", "chat", "get_state_p50", "s", 0.3),
    Goal("chat: get_state, cold", "chat", "cold", "s", 1.2),
    Goal("superstep of 1 KB", "superstep", "superstep_p50", "s", 1.0),
    Goal("superstep of 1 KB, with delay", "superstep", "superstep_p50", "s", 1.0, True),
    Goal("16 threads", "threads", "throughput", "1/s", 3.0),
    Goal("16 threads, with delay", "threads", "throughput", "1/s", 2.5, True),
    Goal("one thread", "threads", "throughput_1", "1/s", 0.9),
    Goal("one thread, with delay", "threads", "throughput_1", "1/s", 0.9, True),
)
"""Threads: rounds of a durable `put` of 0.5 KB, `put_writes` and `get_tuple`, per second."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the figures and their ratios."""
    parser = argparse.ArgumentParser(prog="python -m benches.postgres", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="reduced sizes")
    parser.add_argument("--only", help="workloads, as chat,superstep,threads")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), metavar="PATH")
    add_server(parser)
    options = parser.parse_args(arguments)
    goals = [goal for goal in GOALS if not options.only or goal.workload in options.only.split(",")]
    console = Console()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the user of the server must reach its folder
        about = machine.describe(folder)
        with postgres_server.open_server(folder, options.server) as server:
            console.print(
                f"PostgreSQL {server.version()}, "
                f"{SAVERS[PEER].title} {machine.version(SAVERS[PEER].distribution)}, "
                f"{about['cores']} cores, load {about['load_before']:.2f}, "
                f"{format_value(about['fdatasync'], 's')} per fdatasync, "
                f"delay {format_value(TRIP, 's')} per trip"
            )
            figures = measure(server, goals, options.repeat, quick=options.quick)
    console.print(table(goals, figures, judged=not options.quick))
    if options.quick:
        console.print("A quick run with reduced sizes: the figures show only that it works.")


Figures = dict[tuple[str, bool, str], dict[str, float]]
"""Medians by workload, delay and saver."""


def measure(server: Server, goals: list[Goal], repeat: int, *, quick: bool) -> Figures:
    """Run each workload with both savers by turns, and return the medians of the repeats."""
    found: Figures = {}
    for workload, is_delayed in dict.fromkeys((goal.workload, goal.is_delayed) for goal in goals):
        runs: dict[str, list[dict[str, float]]] = {PEER: [], OURS_ON_POSTGRES: []}
        for _ in range(repeat):
            for saver, results in runs.items():
                delay = TRIP if is_delayed else 0.0
                results.append(_measure(server, workload, saver, delay, quick=quick))
        for saver, results in runs.items():
            found[workload, is_delayed, saver] = {
                metric: statistics.median(one[metric] for one in results) for metric in results[0]
            }
    return found


def _measure(
    server: Server, workload: str, saver: str, delay: float, *, quick: bool
) -> dict[str, float]:
    """Run a workload with a saver in a new database; return its metrics."""
    with (
        server.database(_DATABASE) as direct,
        _delayed(direct, delay) if delay else nullcontext(direct) as dsn,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child,
    ):
        location = Location(Path(), dsn, database_size(direct))
        before = _log_position(direct)
        metrics = child.submit(run, workload, saver, location, quick).result()
        metrics["wal"] = _log_position(direct) - before
        if workload == "chat":
            metrics["cold"] = child.submit(read_cold, saver, location, quick).result()
    return metrics


def _log_position(dsn: str) -> int:
    """Return the bytes of the write-ahead log so far."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::int8").fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def _delayed(dsn: str, delay: float) -> Iterator[str]:
    """Run a proxy in a process of its own; yield a connection string that leads through it."""
    command = (sys.executable, "-m", "benches.proxy", dsn, str(delay / 2))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


def run(workload: str, saver: str, location: Location, quick: bool) -> dict[str, float]:
    """Run a workload in this process; return its metrics."""
    return WORKLOADS[workload].run(_bench(saver, location, quick)).metrics


def read_cold(saver: str, location: Location, quick: bool) -> float:
    """Return the median seconds of the first `get_state` of a saver that was just opened."""
    bench = _bench(saver, location, quick)
    times: list[float] = []
    for _ in range(bench.size(_COLD_READS, _QUICK_COLD_READS)):
        with bench.open() as opened:
            graph = build_agent({}, opened)
            times.append(elapsed(partial(graph.get_state, thread(chat.THREAD))))
    return statistics.median(times)


def _bench(saver: str, location: Location, quick: bool) -> Bench:
    return Bench(SAVERS[saver], location, quick, lambda _: None)


def table(goals: list[Goal], figures: Figures, *, judged: bool) -> Table:
    """Return a table of the figures, and of their ratios beside the goals."""
    found = Table()
    for title in ("", SAVERS[PEER].title, SAVERS[OURS_ON_POSTGRES].title, "ratio", "goal", ""):
        found.add_column(title, justify="right" if title else "left")
    for goal in goals:
        theirs, ours = (
            figures[goal.workload, goal.is_delayed, saver][goal.metric]
            for saver in (PEER, OURS_ON_POSTGRES)
        )
        ratio = ours / theirs
        found.add_row(
            goal.title,
            format_value(theirs, goal.unit),
            format_value(ours, goal.unit),
            _ratio(ratio),
            _ratio(goal.bound),
            "" if not judged else "met" if goal.is_met(ratio) else "not met",
        )
    return found


def _ratio(value: float) -> str:
    return f"1/{1 / value:.0f}" if 0 < value < 0.1 else f"{value:.2f}"


if __name__ == "__main__":
    main()
