"""Encrypted stores for tests, and their stored records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.encryption.key_source import HEADER, KeySource
from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore

KEY = b"k" * 32
OTHER = b"o" * 32


def encrypted(inner: KeyValueStore, key: Any = KEY) -> EncryptedStore:
    """Return an encrypted store on top of another store."""
    return EncryptedStore.open(inner, KeySource(key))


def everything(kv: KeyValueStore) -> dict[bytes, bytes]:
    """Return all records of a store."""
    with kv.read() as reader:
        return dict(reader.range(b"", b"\xff" * 512))


def stored(kv: EncryptedStore) -> dict[bytes, bytes]:
    """Return the stored records of an encrypted store, except the header."""
    return {key: value for key, value in everything(kv.inner).items() if key != HEADER}
