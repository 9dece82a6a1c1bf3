"""A LangGraph checkpointer on LMDB: `compile(checkpointer=LmdbSaver("checkpoints"))`."""

from langgraph.checkpoint.lmdb.lmdb_saver import LmdbSaver
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
