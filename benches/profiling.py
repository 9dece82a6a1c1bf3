"""Where the processor time of one workload goes, by function, over all its threads."""

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
    """Run the workload in this process and print the functions that took most by themselves.

    LangGraph stores checkpoints from threads of its own, which cProfile does not follow.
    """
    assert not saver.server, "a server's time is not in this process"
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
        place = Path(function.module).name
        sys.stdout.write(
            f"{function.tsub:8.3f} {function.ttot:12.3f} {function.ncall:9}"
            f"  {place}:{function.lineno} {function.name}\n"
        )
