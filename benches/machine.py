"""The machine and software of a run, and the load before it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import statistics
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benches.measure import latencies

_DISTRIBUTIONS = ("langgraph", "langgraph-checkpoint", "langchain-core", "lmdb", "zstandard")
_FLUSHES = 200


def describe(directory: Path) -> dict[str, Any]:
    """Return the machine, its load and the versions of the software."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_before": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": _filesystem(directory),
        "fdatasync": fdatasync_cost(directory),
        "versions": {name: version(name) for name in _DISTRIBUTIONS},
    }


def version(distribution: str) -> str:
    """Return the installed version of a distribution."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "from the source tree"


def fdatasync_cost(directory: Path) -> float:
    """Return the median seconds to overwrite and flush a page: a lower bound of a commit."""
    path = directory / "fdatasync"
    page = os.urandom(4096)
    with path.open("wb", buffering=0) as file:

        def flush() -> None:
            os.pwrite(file.fileno(), page, 0)
            os.fdatasync(file.fileno())

        cost = statistics.median(latencies([flush] * _FLUSHES))
    path.unlink()
    return cost


def _cpu_model() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()


def _filesystem(directory: Path) -> str:
    found = subprocess.run(
        ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", directory],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"
