"""Where the time of one workload goes, by function."""

from __future__ import annotations

import cProfile
import pstats
import tempfile
from pathlib import Path

from benches.model import Bench, Place, Saver, Workload


def profile(
    workload: Workload, saver: Saver, *, quick: bool, directory: Path, sort: str, limit: int
) -> None:
    """Run the workload in this process under cProfile (its main thread alone) and print it."""
    assert not saver.server, "a server's time is not in this process"
    with tempfile.TemporaryDirectory(prefix="langgraph-lmdb-profile-", dir=directory) as folder:
        bench = Bench(saver, Place(Path(folder)), quick, progress=lambda _: None)
        if workload.prepare is not None and saver.persistent:
            workload.prepare(bench)
        profiler = cProfile.Profile()
        profiler.runcall(workload.run, bench)
        pstats.Stats(profiler).strip_dirs().sort_stats(sort).print_stats(limit)
