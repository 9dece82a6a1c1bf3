"""A LangGraph checkpointer on LMDB: `compile(checkpointer=LmdbSaver("checkpoints"))`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.models import (
    Branch,
    Problem,
    StoreStats,
    SweepReport,
    TaskWrite,
    ThreadInfo,
    TTLConfig,
    VerifyReport,
)

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.lmdb_saver import LmdbSaver
    from langgraph.checkpoint.lmdb.saver import KvSaver

__all__ = [
    "Branch",
    "KvSaver",
    "LmdbSaver",
    "Problem",
    "StoreStats",
    "SweepReport",
    "TTLConfig",
    "TaskWrite",
    "ThreadInfo",
    "VerifyReport",
]

_SAVERS = {"KvSaver": "saver", "LmdbSaver": "lmdb_saver"}
"""Modules of the savers. The command line answers without them where it can: they take long."""


def __getattr__(name: str) -> Any:
    if name in _SAVERS:
        return getattr(import_module(f"{__name__}.{_SAVERS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
