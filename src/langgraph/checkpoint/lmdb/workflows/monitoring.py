"""A report on all runs of a store, for people and for Prometheus."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import get_args

from langgraph.checkpoint.base import CheckpointTuple

from langgraph.checkpoint.lmdb.run_state import State
from langgraph.checkpoint.lmdb.saver import KvSaver
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.connections import (
    Connection,
    aopen_connection,
    open_connection,
)
from langgraph.checkpoint.lmdb.workflows.locks import LockManager
from langgraph.checkpoint.lmdb.workflows.run_list import aoverview, overview
from langgraph.checkpoint.lmdb.workflows.status import (
    CheckpointStatus,
    checkpoint_status,
    root_config,
)

Alert = Callable[[CheckpointStatus], object]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkflowReport:
    """A report on all runs of a store at one moment."""

    created_at: datetime
    """Time of the report."""
    window_hours: float
    """Hours before the report that count for completions."""
    counts: dict[str, int]
    """Number of runs by state."""
    stuck: tuple[CheckpointStatus, ...]
    """Runs that failed, stalled or are running, without activity for a long time."""
    completed: int
    """Number of runs that completed in the window."""
    completion_rate: float | None
    """Part of the runs that ended in the window as complete, not failed or stalled; 0 to 1."""
    duration_p50_seconds: float | None
    """Median time from the input to the completion, of runs that completed in the window."""
    duration_p95_seconds: float | None
    """95th percentile of these times."""
    longest_wait_seconds: float | None
    """Longest time that a run has waited for an answer."""
    store_bytes: int | None
    """Bytes of the store on disk; None if the saver does not tell it."""

    def to_prometheus(self, prefix: str = "langgraph_workflow") -> str:
        """Return the report in the text format of Prometheus.

        Args:
            prefix: Beginning of the names of the metrics.
        """
        metrics: list[tuple[str, str, dict[str, float | None]]] = [
            ("runs", "Runs by state.", {f'{{state="{s}"}}': n for s, n in self.counts.items()}),
            ("stuck_runs", "Runs without activity for a long time.", {"": len(self.stuck)}),
            ("completed_runs", "Runs completed in the window.", {"": self.completed}),
            ("completion_ratio", "Part of ended runs that completed.", {"": self.completion_rate}),
            (
                "duration_seconds",
                "Time from input to completion.",
                {
                    '{quantile="0.5"}': self.duration_p50_seconds,
                    '{quantile="0.95"}': self.duration_p95_seconds,
                },
            ),
            (
                "longest_wait_seconds",
                "Longest wait for an answer.",
                {"": self.longest_wait_seconds},
            ),
            ("store_bytes", "Size of the store on disk.", {"": self.store_bytes}),
        ]
        lines = []
        for name, text, values in metrics:
            rows = [
                f"{prefix}_{name}{tag} {value}"
                for tag, value in values.items()
                if value is not None
            ]
            if rows:
                lines += [f"# HELP {prefix}_{name} {text}", f"# TYPE {prefix}_{name} gauge", *rows]
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        return self.to_prometheus()


def monitor_workflows(
    connection: Connection,
    *,
    stuck_after_minutes: float = 30,
    window_hours: float = 24,
    alert: Alert | None = None,
    lock_manager: LockManager | None = None,
    clock: Callable[[], float] = time.time,
) -> WorkflowReport:
    """Return a report on all runs of a store.

    Args:
        connection: Path or connection string of a store, or any saver.
        stuck_after_minutes: Minutes without activity after which a run is stuck. Runs that wait for
            an answer are not stuck.
        window_hours: Hours that count for completions and durations.
        alert: Called with the status of each stuck run. Its exception is logged.
        lock_manager: As for `get_checkpoint_status`.
        clock: Returns the time in seconds since the epoch.

    Raises:
        UsageError: An argument is invalid.
        InvalidPathError: There is no store.
    """
    view = _View(stuck_after_minutes, window_hours, alert, clock)
    with open_connection(connection, readonly=True) as saver:
        runs = _Runs(*overview(saver, view.since, lock_manager))
        for status in view.completed(runs.found):
            for checkpoint in saver.list(root_config(status.thread_id)):
                if runs.add_start(checkpoint):
                    break
        if isinstance(saver, KvSaver):
            runs.store_bytes = saver.stats().file_bytes
    return view.report(runs)


async def amonitor_workflows(
    connection: Connection,
    *,
    stuck_after_minutes: float = 30,
    window_hours: float = 24,
    alert: Alert | None = None,
    lock_manager: LockManager | None = None,
    clock: Callable[[], float] = time.time,
) -> WorkflowReport:
    """Async version of `monitor_workflows`."""
    view = _View(stuck_after_minutes, window_hours, alert, clock)
    async with aopen_connection(connection, readonly=True) as saver:
        runs = _Runs(*await aoverview(saver, view.since, lock_manager))
        for status in view.completed(runs.found):
            async for checkpoint in saver.alist(root_config(status.thread_id)):
                if runs.add_start(checkpoint):
                    break
        if isinstance(saver, KvSaver):
            runs.store_bytes = (await saver.astats()).file_bytes
    return view.report(runs)


@dataclass(slots=True)
class _Runs:
    """The runs of a store, as a report reads them."""

    found: list[CheckpointStatus]
    """The runs that are not complete, or completed in the window."""
    complete: int
    """Number of all complete runs."""
    starts: dict[str, CheckpointTuple] = field(default_factory=dict)
    """The first checkpoint of each run that completed in the window."""
    store_bytes: int | None = None
    """Bytes of the store on disk, if known."""

    def add_start(self, checkpoint: CheckpointTuple) -> bool:
        """Add the next older checkpoint of a run; return True if it is the first of the run."""
        self.starts[checkpoint.config["configurable"]["thread_id"]] = checkpoint
        return checkpoint.metadata.get("source") == "input"


class _View:
    """The arguments of a report, and what they make of the runs of a store."""

    def __init__(
        self,
        stuck_after_minutes: object,
        window_hours: object,
        alert: Alert | None,
        clock: Callable[[], float],
    ) -> None:
        minutes = arguments.number(stuck_after_minutes, "stuck_after_minutes", "minutes")
        hours = arguments.number(window_hours, "window_hours", "hours", above=True)
        if alert is not None:
            arguments.function(alert, "alert")
        self._now = datetime.fromtimestamp(clock(), timezone.utc)
        self._stuck_before = self._now - timedelta(minutes=minutes)
        self._window_hours = hours
        self.since = self._now - timedelta(hours=hours)
        self._alert = alert

    def completed(self, found: list[CheckpointStatus]) -> list[CheckpointStatus]:
        """Return the runs that completed in the window."""
        return [status for status in found if status.is_complete and self._is_recent(status)]

    def report(self, runs: _Runs) -> WorkflowReport:
        """Return the report; call `alert` for each stuck run."""
        found = runs.found
        completed = self.completed(found)
        broken = [
            status
            for status in found
            if status.state in ("failed", "stalled") and self._is_recent(status)
        ]
        ended = len(completed) + len(broken)
        durations = sorted(
            seconds
            for status in completed
            if (seconds := _duration(status, runs.starts.get(status.thread_id))) is not None
        )
        waits = [
            (self._now - status.updated_at).total_seconds()
            for status in found
            if status.state == "waiting" and status.updated_at is not None
        ]
        counts = Counter(status.state for status in found if not status.is_complete)
        counts["complete"] = runs.complete
        stuck = tuple(status for status in found if self._is_stuck(status))
        self._call_alert(stuck)
        return WorkflowReport(
            created_at=self._now,
            window_hours=self._window_hours,
            counts={state: counts[state] for state in get_args(State)},
            stuck=stuck,
            completed=len(completed),
            completion_rate=len(completed) / ended if ended else None,
            duration_p50_seconds=_percentile(durations, 50),
            duration_p95_seconds=_percentile(durations, 95),
            longest_wait_seconds=max(waits, default=None),
            store_bytes=runs.store_bytes,
        )

    def _call_alert(self, stuck: tuple[CheckpointStatus, ...]) -> None:
        if self._alert is None:
            return
        for status in stuck:
            try:
                self._alert(status)
            except Exception:  # noqa: BLE001 - of the caller's function
                _log.exception("the alert for thread %r failed", status.thread_id)

    def _is_recent(self, status: CheckpointStatus) -> bool:
        return status.updated_at is not None and status.updated_at >= self.since

    def _is_stuck(self, status: CheckpointStatus) -> bool:
        if status.state not in ("failed", "stalled", "running") or status.updated_at is None:
            return False
        return status.updated_at <= self._stuck_before


def _duration(status: CheckpointStatus, start: CheckpointTuple | None) -> float | None:
    if start is None or status.created_at is None:
        return None
    began = checkpoint_status(start).created_at
    return None if began is None else max((status.created_at - began).total_seconds(), 0.0)


def _percentile(values: list[float], percent: int) -> float | None:
    """Return the smallest value that `percent` of the sorted values do not exceed."""
    if not values:
        return None
    return values[max(0, -(-len(values) * percent // 100) - 1)]
