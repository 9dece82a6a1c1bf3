"""Checkpoints in PostgreSQL, for the processes of many machines: `CompactPostgresSaver`."""

from langgraph.checkpoint.lmdb.postgres.saver import CompactPostgresSaver

__all__ = ["CompactPostgresSaver"]
