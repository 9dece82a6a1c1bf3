"""The public names of workflows, and the names, order and defaults of their parameters."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from langgraph.checkpoint.lmdb import workflows

SIGNATURES = {
    "get_checkpoint_status": "thread_id, connection",
    "needs_resume": "thread_id, connection",
    "find_failed_workflows": (
        "connection, min_age_minutes=5, max_age_hours=24, *, include_waiting=False, limit=None"
    ),
    "resume_workflow": (
        "thread_id, connection, resume_function, lock_manager=None, blocking=False,"
        " timeout_seconds=None"
    ),
    "resume_with_retry": (
        "thread_id, connection, resume_function, lock_manager=None, blocking=False,"
        " timeout_seconds=None, max_retries=3"
    ),
    "resume_failed_workflows": (
        "connection, resume_function, *, max_workers=4, min_age_minutes=5, max_age_hours=24,"
        " include_waiting=False, limit=None, lock_manager=None, graph=None, progress=None"
    ),
    "recover": "connection, graph, *, interval_seconds=None",
    "monitor_workflows": ("connection, *, stuck_after_minutes=30, window_hours=24, alert=None"),
    "get_progress": "connection, thread_id, done='completed_tasks', pending='pending_tasks'",
    "cleanup_old_checkpoints": "connection, days=30, *, only_complete=True, dry_run=False",
    "create_checkpointer": "config",
}
OF_CLASSES = {
    "FileLockManager": "path",
    "PostgresLockManager": "conninfo, min_conn=2, max_conn=10, connection_timeout=30",
    "DurableWorkflow": "graph, checkpointer, *, lock_manager=None",
    "PersistenceConfig": (
        "backend, connection_string=None, pool_min_size=1, pool_max_size=10,"
        " checkpoint_ttl_days=None, enable_compression=True"
    ),
    "generate_thread_id": "workflow_name, user_id=None",
}
METHODS = {
    "LockManager.lock": "self, name, blocking=True, timeout=None",
    "LockManager.acquire": "self, name, blocking=True, timeout=None",
    "LockManager.release": "self, name",
    "LockManager.is_locked": "self, name",
    "LockManager.holder": "self, name",
    "LockManager.held": "self",
    "LockManager.cleanup_all_locks": "self",
    "DurableWorkflow.execute": "self, thread_id, input",
    "DurableWorkflow.resume": "self, thread_id, updates=None",
    "DurableWorkflow.get_status": "self, thread_id",
    "CheckpointerManager.get_or_create": "connection, **options",
    "CheckpointerManager.get_checkpointer": "self",
    "CheckpointerManager.close": "self",
    "WorkflowError": "thread_id='', state=None, original_error=None",
}
FIELDS = {
    "CheckpointStatus": (
        "thread_id, checkpoint_id, version, is_complete, state, next, error, interrupts, step,"
        " created_at, updated_at, run_id, metadata"
    ),
    "LockHolder": "host, pid, since",
    "ResumeResult": (
        "status, thread_id, result, before_checkpoint, after_checkpoint, completed, error"
    ),
}
EVERY = (
    *SIGNATURES.items(),
    *((f"a{name}", text) for name, text in SIGNATURES.items()),
    *OF_CLASSES.items(),
    *METHODS.items(),
)


@pytest.mark.parametrize(("name", "expected"), EVERY, ids=[name for name, _ in EVERY])
def test_signature(name: str, expected: str) -> None:
    """Parameters with a default may follow, by keyword only."""
    found: Any = workflows
    for part in name.split("."):
        found = getattr(found, part)
    namespace: dict[str, Any] = {}
    exec(f"def wanted({expected}): ...", namespace)
    wanted = [*inspect.signature(namespace["wanted"]).parameters.values()]
    actual = [each.replace(annotation=each.empty) for each in _parameters(found)]
    assert actual[: len(wanted)] == wanted
    for extra in actual[len(wanted) :]:
        assert extra.kind is extra.KEYWORD_ONLY
        assert extra.default is not extra.empty


@pytest.mark.parametrize(("name", "expected"), FIELDS.items())
def test_fields(name: str, expected: str) -> None:
    found = getattr(workflows, name)
    names = (
        [field.name for field in dataclasses.fields(found)]
        if dataclasses.is_dataclass(found)
        else [*inspect.get_annotations(found)]
    )
    assert names == expected.split(", ")


def test_every_name_exists() -> None:
    for name in workflows.__all__:
        assert getattr(workflows, name) is not None


def _parameters(found: Any) -> list[inspect.Parameter]:
    return [*inspect.signature(found).parameters.values()]
