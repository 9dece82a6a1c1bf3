"""Durable workflows: know the state of every run, resume what failed, and never run one twice."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.workflows.file_locks import FileLockManager
from langgraph.checkpoint.lmdb.workflows.locks import LockHolder, LockManager
from langgraph.checkpoint.lmdb.workflows.status import (
    CheckpointStatus,
    afind_failed_workflows,
    aget_checkpoint_status,
    aneeds_resume,
    find_failed_workflows,
    get_checkpoint_status,
    needs_resume,
)

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.workflows.postgres_locks import PostgresLockManager

__all__ = [
    "CheckpointStatus",
    "FileLockManager",
    "LockHolder",
    "LockManager",
    "PostgresLockManager",
    "afind_failed_workflows",
    "aget_checkpoint_status",
    "aneeds_resume",
    "find_failed_workflows",
    "get_checkpoint_status",
    "needs_resume",
]


def __getattr__(name: str) -> Any:
    if name == "PostgresLockManager":  # needs the extra `postgres`
        return import_module(f"{__name__}.postgres_locks").PostgresLockManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
