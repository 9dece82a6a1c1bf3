"""Opening a store that may be encrypted, with lazy imports of the package `cryptography`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.encryption.key_source import HEADER, EncryptionKey, KeySource
from langgraph.checkpoint.lmdb.errors import InvalidPathError, NotEncryptedError, UsageError

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.encryption.rotation import KeyRotation
    from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore


def open_encrypted(
    kv: KeyValueStore, key: EncryptionKey | None, *, new: bool = False
) -> KeyValueStore:
    """Return the store with plain keys and values: an EncryptedStore if the store is encrypted.

    An empty store becomes encrypted if a key is given.

    Args:
        kv: The store.
        key: One key, several keys of which the first is for a new store, a function without
            arguments that returns either, or "env" for the key in `LANGGRAPH_AES_KEY`. None
            leaves a new store unencrypted, and opens an encrypted store with the key in
            `LANGGRAPH_AES_KEY`.
        new: Whether the store must be empty.

    Raises:
        MissingKeyError: The store is encrypted and no key is given, or the variable is not set.
        WrongKeyError: The store is encrypted with another key.
        NotEncryptedError: A key is given, but the store is not encrypted.
        InvalidPathError: The store must be empty, but is not.
        UsageError: The key is invalid, or the package `cryptography` is missing.
        DamagedError: The header is damaged.
    """
    if new:
        with kv.read() as reader:
            if any(True for _ in reader.keys(b"", b"\xff")):
                raise InvalidPathError(
                    "the path already holds a store", advice="Name another folder."
                )
    if key is None:
        with kv.read() as reader:
            if reader.get(HEADER) is None:
                return kv
    return _encrypted_store().open(kv, KeySource.from_option(key))


def start_rotation(kv: KeyValueStore, new_key: EncryptionKey) -> KeyRotation:
    """Return a rotation of a store that `open_encrypted` returned. The caller runs its steps.

    Args:
        kv: The store.
        new_key: As for `open_encrypted`; of several keys, the first.

    Raises:
        NotEncryptedError: The store is not encrypted.
        UsageError: The key is invalid.
    """
    source = KeySource.from_option(new_key)
    if not isinstance(kv, _encrypted_store()):
        raise NotEncryptedError("the store is not encrypted, so it has no key to change")
    from langgraph.checkpoint.lmdb.encryption.rotation import KeyRotation  # noqa: PLC0415

    return KeyRotation(kv, source.first())


def _encrypted_store() -> type[EncryptedStore]:
    try:
        from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "encryption needs the package cryptography",
            advice="Install it: pip install 'langgraph-lmdb[encryption]'.",
        ) from error
    return EncryptedStore
