"""Encrypted stores, and a look at what is really in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.encryption.opening import HEADER, KeySource
from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore

KEY = b"k" * 32
OTHER = b"o" * 32


def encrypted(inner: KeyValueStore, key: Any = KEY) -> EncryptedStore:
    """The encrypted store on another one."""
    return EncryptedStore.open(inner, KeySource(key))


def everything(kv: KeyValueStore) -> dict[bytes, bytes]:
    """All that a store holds."""
    with kv.read() as reader:
        return dict(reader.range(b"", b"\xff" * 512))


def stored(kv: EncryptedStore) -> dict[bytes, bytes]:
    """What the inner store holds, but for the header."""
    return {key: value for key, value in everything(kv.inner).items() if key != HEADER}
