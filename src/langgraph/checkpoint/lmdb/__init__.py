"""A LangGraph checkpointer on LMDB: `compile(checkpointer=LmdbSaver("checkpoints"))`."""

from langgraph.checkpoint.lmdb.saver import LmdbSaver

__all__ = ["LmdbSaver"]
