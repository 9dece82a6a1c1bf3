"""A profiler of one workload: processor time by function, over all threads."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Literal

import yappi

from benches.model import Bench, Location, Saver, Workload

Clock = Literal["cpu", "wall"]


def profile(
    workload: Workload, saver: Saver, *, quick: bool, directory: Path, clock: Clock, limit: int
) -> None:
    """Run the workload in this process and print the functions with the most own time.

    LangGraph stores checkpoints from its own threads, which cProfile does not follow.
    """
    assert not saver.server, "the time of a server is not in this process"
    with tempfile.TemporaryDirectory(prefix="langgraph-lmdb-profile-", dir=directory) as folder:
        bench = Bench(saver, Location(Path(folder)), quick, progress=lambda _: None)
        if workload.prepare is not None and saver.persistent:
            workload.prepare(bench)
        yappi.set_clock_type(clock)
        with yappi.run():
            workload.run(bench)
    total = sum(function.tsub for function in yappi.get_func_stats())
    print(f"{total:.2f} s of {clock} time under the profiler\n")
    print(f"{'own s':>8} {'with callees':>12} {'calls':>9}  function")
    for function in [*yappi.get_func_stats().sort("tsub", "desc")][:limit]:
        file = Path(function.module).name
        sys.stdout.write(
            f"{function.tsub:8.3f} {function.ttot:12.3f} {function.ncall:9}"
            f"  {file}:{function.lineno} {function.name}\n"
        )
