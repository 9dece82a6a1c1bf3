"""Clocks, disk blocks and resident memory."""

from __future__ import annotations

import gc
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benches.model import Bench, Location, Result


def elapsed(action: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def latencies(actions: Iterable[Callable[[], object]]) -> list[float]:
    """Return the seconds that each call takes."""
    return [elapsed(action) for action in actions]


def allocated(directory: Path) -> int:
    """Return the bytes of the disk blocks of all files below a directory."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def apparent(directory: Path) -> int:
    """Return the total length of all files below a directory, as `ls` shows it."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def used(location: Location) -> int:
    """Return the bytes on disk that a store has, beyond an empty one."""
    if location.dsn:
        return database_size(location.dsn) - location.baseline
    return allocated(location.directory) - location.baseline


def database_size(dsn: str) -> int:
    """Return the bytes of the files of a PostgreSQL database, without the write-ahead log."""
    import psycopg

    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])


def record_disk(bench: Bench, result: Result) -> None:
    """Record the disk usage of the closed store, if the saver is persistent."""
    location = bench.location
    if bench.saver.persistent:
        result.metrics["disk"] = used(location)
        if not location.dsn:
            result.metrics["apparent"] = apparent(location.directory) - location.baseline


class PeakMemory:
    """The peak growth of resident memory, file mappings included, since construction."""

    def __init__(self) -> None:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        self._idle = _status("VmRSS")

    def growth(self) -> int:
        """Return the peak growth in bytes."""
        return max(0, _status("VmHWM") - self._idle)


def _status(key: str) -> int:
    match = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match, f"no {key} in /proc/self/status"
    return int(match[1]) * 1024
