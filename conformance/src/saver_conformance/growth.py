"""Growth curves: time and size of a store with few and with many checkpoints. Judges nothing."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from saver_conformance.capability import Api
from saver_conformance.lifespan import entered
from saver_conformance.operations import at, checkpoint_id, make_checkpoint
from saver_conformance.recorder import acall
from saver_conformance.target import Target
from saver_conformance.timeouts import Executors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saver_conformance.session import Session
    from saver_conformance.spec import SaverSpec

SIZES: Final = (10, 1000)

#: Calls of which the median is taken.
_CALLS = 9
_CALL_SECONDS = 60


@dataclass(frozen=True)
class Point:
    """A point of a growth curve: a thread with some checkpoints.

    Attributes:
        checkpoints: Number of checkpoints of the thread.
        seconds: Median duration of a call in seconds, by the name of the call.
        size: Size of the files in the folder of the store, in bytes.
    """

    checkpoints: int
    seconds: dict[str, float]
    size: int


def measure(spec: SaverSpec, sizes: Sequence[int] = SIZES) -> list[Point]:
    """Measure a saver with threads of several lengths.

    Args:
        spec: Spec of the saver.
        sizes: Numbers of checkpoints.

    Returns:
        A point for each size.

    Raises:
        Exception: If the saver raises.
    """
    with (
        closing(Executors(_CALL_SECONDS)) as executors,
        entered(spec, executors),
        tempfile.TemporaryDirectory(prefix="growth-", ignore_cleanup_errors=True) as folder,
    ):
        target = Target(spec, executors, Path(folder))
        target.probe()
        return [_measure(target, size) for size in sizes]


def _measure(target: Target, checkpoints: int) -> Point:
    api = target.features.apis[0]
    with target.session(lambda: api) as session:
        puts: list[float] = []
        parent: str | None = None
        versions = session.versions(checkpoints)
        for number, version in enumerate(versions):
            new = {"messages": version.value}
            values = {"messages": [f"message {number}"]}
            checkpoint = make_checkpoint(checkpoint_id(number), values, new)
            metadata = {"source": "loop", "step": number}
            config = at("thread") if parent is None else at("thread", "", parent)
            puts.append(_timed(session, "put", config, checkpoint, metadata, new))
            parent = checkpoint["id"]
        latest = at("thread", "", parent)
        seconds = {
            "put": statistics.median(puts[-_CALLS:]),
            "put_writes": _median(
                lambda n: _timed(session, "put_writes", latest, [("messages", n)], f"task-{n}")
            ),
            "get latest": _median(lambda _: _timed(session, "get_tuple", at("thread"))),
            "list 10": _median(lambda _: _timed(session, "list", at("thread"), limit=10)),
        }
        files = [f for f in session.path.rglob("*") if f.is_file()]
        # Sparse files count with the blocks that they use.
        return Point(checkpoints, seconds, sum(f.stat().st_blocks * 512 for f in files))


def _median(call: Callable[[int], float]) -> float:
    return statistics.median(call(number) for number in range(_CALLS))


def _timed(session: Session, method: str, *args: Any, **kwargs: Any) -> float:
    """Return the duration of a call in seconds, measured where the saver runs."""
    saver, executors = session.saver, session.executors

    async def acalled() -> float:
        began = time.perf_counter()
        await acall(saver, method, args, kwargs)
        return time.perf_counter() - began

    def called() -> float:
        began = time.perf_counter()
        result = getattr(saver, method)(*args, **kwargs)
        if method == "list":
            deque(result, maxlen=0)
        return time.perf_counter() - began

    if session.api is Api.ASYNC:
        return executors.loop.run(acalled(), executors.seconds)
    return executors.worker.call(called, executors.seconds)


def growth_table(points: Sequence[Point]) -> str:
    """Return points as a table, with a row for each call and the growth from first to last.

    Args:
        points: Points, in the order of their size.

    Returns:
        The text of the table.
    """
    rows = [["checkpoints", *(f"{p.checkpoints:,}" for p in points), "growth"]]
    first, last = points[0], points[-1]
    for call in first.seconds:
        shown = [f"{p.seconds[call] * 1000:.2f} ms" for p in points]
        rows.append([call, *shown, _times(first.seconds[call], last.seconds[call])])
    sizes = [f"{p.size / 1024:,.0f} KiB" for p in points]
    rows.append(["size of the store", *sizes, _times(first.size, last.size)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    return "\n".join(lines)


def _times(first: float, last: float) -> str:
    return f"{last / first:.1f}x" if first else "-"
