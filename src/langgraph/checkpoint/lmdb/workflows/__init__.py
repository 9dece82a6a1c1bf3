"""Durable workflows: know the state of every run, resume what failed, and never run one twice."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.errors import DatabaseUnavailableError
from langgraph.checkpoint.lmdb.workflows.batch import (
    arecover,
    aresume_failed_workflows,
    recover,
    resume_failed_workflows,
)
from langgraph.checkpoint.lmdb.workflows.checkpointers import (
    CheckpointerManager,
    PersistenceConfig,
    acreate_checkpointer,
    create_checkpointer,
)
from langgraph.checkpoint.lmdb.workflows.durable import DurableWorkflow
from langgraph.checkpoint.lmdb.workflows.errors import (
    AlreadyRunningError,
    LockHeldError,
    LockLostError,
    WorkflowError,
)
from langgraph.checkpoint.lmdb.workflows.file_locks import FileLockManager
from langgraph.checkpoint.lmdb.workflows.locks import LockHolder, LockManager
from langgraph.checkpoint.lmdb.workflows.monitoring import (
    WorkflowReport,
    amonitor_workflows,
    monitor_workflows,
)
from langgraph.checkpoint.lmdb.workflows.resuming import (
    ResumeResult,
    aresume_workflow,
    resume_workflow,
)
from langgraph.checkpoint.lmdb.workflows.retries import aresume_with_retry, resume_with_retry
from langgraph.checkpoint.lmdb.workflows.run_list import (
    afind_failed_workflows,
    find_failed_workflows,
)
from langgraph.checkpoint.lmdb.workflows.status import (
    CheckpointStatus,
    aget_checkpoint_status,
    aneeds_resume,
    get_checkpoint_status,
    needs_resume,
)
from langgraph.checkpoint.lmdb.workflows.upkeep import (
    acleanup_old_checkpoints,
    aget_progress,
    cleanup_old_checkpoints,
    generate_thread_id,
    get_progress,
)

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.workflows.postgres_locks import PostgresLockManager

__all__ = [
    "AlreadyRunningError",
    "CheckpointStatus",
    "CheckpointerManager",
    "DatabaseUnavailableError",
    "DurableWorkflow",
    "FileLockManager",
    "LockHeldError",
    "LockHolder",
    "LockLostError",
    "LockManager",
    "PersistenceConfig",
    "PostgresLockManager",
    "ResumeResult",
    "WorkflowError",
    "WorkflowReport",
    "acleanup_old_checkpoints",
    "acreate_checkpointer",
    "afind_failed_workflows",
    "aget_checkpoint_status",
    "aget_progress",
    "amonitor_workflows",
    "aneeds_resume",
    "arecover",
    "aresume_failed_workflows",
    "aresume_with_retry",
    "aresume_workflow",
    "cleanup_old_checkpoints",
    "create_checkpointer",
    "find_failed_workflows",
    "generate_thread_id",
    "get_checkpoint_status",
    "get_progress",
    "monitor_workflows",
    "needs_resume",
    "recover",
    "resume_failed_workflows",
    "resume_with_retry",
    "resume_workflow",
]


def __getattr__(name: str) -> Any:
    if name == "PostgresLockManager":  # needs the extra `postgres`
        return import_module(f"{__name__}.postgres_locks").PostgresLockManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
