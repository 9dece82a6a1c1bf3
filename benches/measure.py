"""Clocks, disk blocks and resident memory."""

from __future__ import annotations

import gc
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benches.model import Bench, Result


def elapsed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def latencies(actions: Iterable[Callable[[], object]]) -> list[float]:
    return [elapsed(action) for action in actions]


def allocated(directory: Path) -> int:
    """Bytes of the disk blocks that the files below a directory occupy."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def apparent(directory: Path) -> int:
    """Bytes that `ls` shows: a sparse file occupies less, a short one more."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def record_disk(bench: Bench, result: Result) -> None:
    """Note what the closed store occupies; a saver that stores nothing has no such figure."""
    if bench.saver.persistent:
        result.metrics["disk"] = allocated(bench.location.directory) - bench.location.baseline
        result.metrics["apparent"] = apparent(bench.location.directory) - bench.location.baseline


class PeakMemory:
    """The most that resident memory (file mappings included) grew since `start`."""

    def __init__(self) -> None:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        self._idle = _status("VmRSS")

    def growth(self) -> int:
        return max(0, _status("VmHWM") - self._idle)


def _status(key: str) -> int:
    match = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match, f"no {key} in /proc/self/status"
    return int(match[1]) * 1024
