"""An ordered, transactional key-value interface, on LMDB and in memory."""

from langgraph.checkpoint.lmdb.kv.base import MAX_KEY_SIZE, KeyValueStore, Reader, Writer
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore

__all__ = ["MAX_KEY_SIZE", "KeyValueStore", "LmdbStore", "MemoryStore", "Reader", "Writer"]
