"""Reports on runs, cleanup, ids and progress."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from langgraph.checkpoint.lmdb.errors import (
    ThreadNotFoundError,
    UsageError,
)
from langgraph.checkpoint.lmdb.workflows import (
    acleanup_old_checkpoints,
    aget_progress,
    amonitor_workflows,
    cleanup_old_checkpoints,
    generate_thread_id,
    get_progress,
    monitor_workflows,
)
from tests.workflows.steps import at


def test_monitor_reports_all_runs(filled: Any) -> None:
    later, alerts = time.time() + 3600, []
    report = monitor_workflows(filled, clock=lambda: later, alert=alerts.append)
    assert report.counts["complete"] == report.counts["failed"] == report.counts["waiting"] == 1
    assert sorted(status.thread_id for status in alerts) == ["crashed", "failed"]
    assert (report.completed, report.completion_rate) == (1, pytest.approx(1 / 3))
    assert report.longest_wait_seconds == pytest.approx(3600, abs=60)
    text = report.to_prometheus()
    assert 'langgraph_workflow_runs{state="failed"} 1\n' in text
    assert asyncio.run(amonitor_workflows(filled, clock=lambda: later)).counts == report.counts


def test_cleanup_deletes_old_runs(filled: Any) -> None:
    later = time.time() + 31 * 24 * 3600
    assert cleanup_old_checkpoints(filled) == []
    assert cleanup_old_checkpoints(filled, clock=lambda: later, dry_run=True) == ["complete"]
    assert cleanup_old_checkpoints(filled, clock=lambda: later) == ["complete"]
    assert filled.get_tuple(at("complete")) is None
    rest = asyncio.run(acleanup_old_checkpoints(filled, only_complete=False, clock=lambda: later))
    assert sorted(rest) == ["crashed", "failed", "waiting"]


def test_progress_counts_two_channels(filled: Any) -> None:
    expected = {"completed": 3, "pending": 0, "progress": "3/3", "percentage": 100.0}
    assert get_progress(filled, "complete", "ran", "x") == expected
    assert asyncio.run(aget_progress(filled, "complete", "ran", "x")) == expected
    with pytest.raises(ThreadNotFoundError):
        get_progress(filled, "unknown")


def test_thread_ids_are_new_each_time() -> None:
    assert generate_thread_id("plan", "ada").startswith("plan-ada-")
    assert generate_thread_id("plan") != generate_thread_id("plan")
    with pytest.raises(UsageError, match="workflow_name must be"):
        generate_thread_id("a/b")
