"""A LangGraph checkpointer on LMDB: `compile(checkpointer=LmdbSaver("checkpoints"))`."""

from langgraph.checkpoint.lmdb.engine.branches import Branch
from langgraph.checkpoint.lmdb.models import Problem, VerifyReport
from langgraph.checkpoint.lmdb.operations.retention import SweepReport, TTLConfig
from langgraph.checkpoint.lmdb.operations.threads import StoreStats, ThreadInfo
from langgraph.checkpoint.lmdb.saver import LmdbSaver

__all__ = [
    "Branch",
    "LmdbSaver",
    "Problem",
    "StoreStats",
    "SweepReport",
    "TTLConfig",
    "ThreadInfo",
    "VerifyReport",
]
