"""Change of the key of an encrypted store, while the store is in use.

1. The header gets a new data key for new values. Both of the user's keys open the store.
2. Values that are encrypted with the old data key are encrypted again, in batches.
3. The header loses the old data key. The user's old key no longer opens the store.

Each step is one write transaction. If the process dies, both keys open the store until the same
rotation is started again and finishes.
"""

from __future__ import annotations

from typing import NamedTuple

from langgraph.checkpoint.lmdb.encryption.key_source import HEADER
from langgraph.checkpoint.lmdb.encryption.keyring import Keyring
from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore, EncryptedWriter
from langgraph.checkpoint.lmdb.errors import DamagedError, UsageError
from langgraph.checkpoint.lmdb.kv.base import Writer

_BATCH_VALUES = 2000
"""Values that one step reads."""
_BATCH_BYTES = 256 * 1024
"""Bytes of encrypted values after which a step ends."""
_END = b"\xff" * 512


class RotationProgress(NamedTuple):
    """The state of a rotation between two steps."""

    check: bytes
    """Value by which the new key is recognized in the header; each rotation has its own."""
    position: bytes | None
    """Stored key at which the next step begins, or None if only the header is left."""


class KeyRotation:
    """A rotation of a store's key, as steps for a caller that runs the transactions.

    The caller runs `begin` in a write transaction, and then `proceed` with the last result until
    it returns None. A transaction may run a step again.

    Args:
        store: The encrypted store.
        key: The user's new key.
    """

    def __init__(self, store: EncryptedStore, key: bytes) -> None:
        self._store = store
        self._key = key
        store.add_key(key)

    def begin(self, writer: Writer) -> RotationProgress:
        """Add the new keys to the header, unless a rotation to the same key has done so.

        Raises:
            UsageError: The rotation to another key is not finished.
        """
        assert isinstance(writer, EncryptedWriter)
        keyring = writer.keyring
        if not keyring.rotating:
            old_key = self._store.key_of(keyring.slots[0])
            keyring = keyring.with_new_key().wrapped_for([self._key, old_key])
            _write_header(writer, keyring)
        elif not keyring.slots[0].fits(self._key):
            raise UsageError(
                "the store is being rotated to another key",
                advice="Call rotate_key with that key first.",
            )
        return RotationProgress(keyring.slots[0].check, b"")

    def proceed(self, writer: Writer, progress: RotationProgress) -> RotationProgress | None:
        """Run the next step.

        Returns:
            The progress for the next step, or None after the last one.
        """
        assert isinstance(writer, EncryptedWriter)
        if progress.position is not None:
            return progress._replace(position=_encrypt_batch(writer, progress.position))
        keyring = writer.keyring
        if keyring.slots[0].check == progress.check:  # else another process has finished it
            _write_header(writer, keyring.without_old_keys().wrapped_for([self._key]))
        return None


def _encrypt_batch(writer: EncryptedWriter, start: bytes) -> bytes | None:
    """Encrypt the next values with the new data key.

    Returns:
        The stored key at which the next batch begins, or None if all values were read.
    """
    keyring = writer.keyring
    batch: list[tuple[bytes, bytes]] = []
    size = 0
    last = None
    for count, (stored_key, value) in enumerate(writer.inner.range(start, _END)):
        if count >= _BATCH_VALUES or size >= _BATCH_BYTES:
            break
        last = stored_key
        if keyring.uses_old_key(value):
            batch.append((stored_key, value))
            size += len(value)
    else:
        last = None
    for stored_key, value in batch:
        key = keyring.names.plain(stored_key)
        try:
            plain = keyring.decrypt(key, value)
        except DamagedError:  # the value remains unreadable
            continue
        writer.inner.put(stored_key, keyring.encrypt(key, plain))
    return None if last is None else last + b"\x00"


def _write_header(writer: EncryptedWriter, keyring: Keyring) -> None:
    assert keyring.header is not None
    writer.inner.put(HEADER, keyring.header)
