"""Reports on runs, cleanup, ids and progress."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

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

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import LmdbSaver


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


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"completed_tasks": ["a", "b"], "pending_tasks": ["c"]}, (2, 1, "2/3", 66.7)),
        ({"completed_tasks": 1, "pending_tasks": 2}, (1, 2, "1/3", 33.3)),
        ({"pending_tasks": ["c"]}, (0, 1, "0/1", 0.0)),
        ({}, (0, 0, "0/0", 0.0)),
    ],
)
def test_progress_of_lists_and_numbers(saver: LmdbSaver, values: Any, expected: Any) -> None:
    checkpoint = {**empty_checkpoint(), "channel_values": values}
    saver.put(at("t"), checkpoint, {}, {})  # type: ignore[arg-type]
    assert tuple(get_progress(saver, "t").values()) == expected
    assert [*get_progress(saver, "t")] == ["completed", "pending", "progress", "percentage"]


def test_progress_of_another_channel_is_an_error(saver: LmdbSaver) -> None:
    checkpoint = {**empty_checkpoint(), "channel_values": {"completed_tasks": "many"}}
    saver.put(at("t"), checkpoint, {}, {})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the channel 'completed_tasks' must be"):
        get_progress(saver, "t")


def test_an_alert_that_fails_is_logged(filled: Any, caplog: pytest.LogCaptureFixture) -> None:
    def alert(_: Any) -> None:
        raise RuntimeError("no mail server")

    report = monitor_workflows(filled, clock=lambda: time.time() + 3600, alert=alert)
    assert len(report.stuck) == 2
    assert "no mail server" in caplog.text


def test_thread_ids_are_new_each_time() -> None:
    assert generate_thread_id("plan", "ada").startswith("plan-ada-")
    assert generate_thread_id("plan") != generate_thread_id("plan")
    with pytest.raises(UsageError, match="workflow_name must be"):
        generate_thread_id("a/b")
