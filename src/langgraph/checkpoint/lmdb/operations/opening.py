"""Opening the store at a path."""

from __future__ import annotations

from typing import Literal

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.encryption.key_source import EncryptionKey
from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
from langgraph.checkpoint.lmdb.kv.lmdb.store import DEFAULT_MAP_SIZE
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore

_MAX_MAP_SIZE = 1 << 62


def open_store(
    path: object,
    *,
    sync: Literal["full", "normal", "off"] = "full",
    map_size: object = DEFAULT_MAP_SIZE,
    readonly: object = False,
    encryption_key: EncryptionKey | None = None,
) -> KeyValueStore:
    """Open the store at a path, which is created if it does not exist."""
    validation.choice(sync, "sync", ("full", "normal", "off"))
    size = validation.count(map_size, "map_size", "bytes", 1, _MAX_MAP_SIZE)
    is_readonly = validation.flag(readonly, "readonly")
    kv: KeyValueStore
    if isinstance(path, str) and path == validation.MEMORY:
        if is_readonly:
            validation.refuse("readonly", f"False for the path {validation.MEMORY!r}", readonly)
        kv = MemoryStore()
    else:
        kv = LogStore.open(validation.folder(path), sync=sync, map_size=size, readonly=is_readonly)
    try:
        return open_encrypted(kv, encryption_key)
    except BaseException as error:
        kv.close()
        if isinstance(error, LmdbSaverError):
            error.add_location(path=kv.folder)
        raise
