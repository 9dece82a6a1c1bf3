"""Another key for a store: in place, or for a copy of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb.encryption import opening
from langgraph.checkpoint.lmdb.encryption.copy import copy_store
from langgraph.checkpoint.lmdb.kv import workers
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.operations.session import Operation

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.encryption.opening import EncryptionKey
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
    from langgraph.checkpoint.lmdb.operations.session import Session


class Rekeying(BaseCheckpointSaver[Any]):
    """The methods that change how a store is encrypted, on what the saver brings."""

    _kv: KeyValueStore

    @property
    def _session(self) -> Session:
        raise NotImplementedError

    def rotate_key(self, new_key: EncryptionKey) -> None:
        """Change the key of an encrypted store, while it is in use.

        All values are encrypted again, in small transactions; readers and writers go on meanwhile,
        in this process and in others. Both keys open the store until this returns; from then on
        the old one does not, and whoever has nothing else gets WrongKeyError. What was cut short
        is taken up by another call with the same key. The room that the old values took is used
        again by and by, and shows them until then to whoever has the old key.

        Args:
            new_key: As `encryption_key` of `LmdbSaver`; of several, the first. The key that the
                store has renews the keys that are derived.

        Raises:
            NotEncryptedError: The store is not encrypted.
            UsageError: It is no key, or the store is on its way to yet another one.
        """
        session = self._session
        for operation in _rotation(self._kv, new_key):
            session.run(operation)

    async def arotate_key(self, new_key: EncryptionKey) -> None:
        """As `rotate_key`."""
        session = self._session
        for operation in _rotation(self._kv, new_key):
            await session.run_async(operation)

    def copy_store(
        self, path: str | os.PathLike[str], *, encryption_key: EncryptionKey | None
    ) -> None:
        """Copy the whole store, as it is at this moment, to a new one with another encryption.

        So a store without encryption becomes one that has it: open the copy with the key, and
        delete the original. A copy that was cut short cannot be opened.

        Args:
            path: The folder of the new store.
            encryption_key: As of `LmdbSaver`. None makes a store without encryption.

        Raises:
            InvalidPathError: There is a store at the path.
            StoreFullError: There is no room.
        """
        target = LmdbStore.open(path)
        try:
            copy_store(self._kv, opening.open_encrypted(target, encryption_key, new=True))
        finally:
            target.close()

    async def acopy_store(
        self, path: str | os.PathLike[str], *, encryption_key: EncryptionKey | None
    ) -> None:
        """As `copy_store`."""
        await workers.call(self.copy_store, path, encryption_key=encryption_key)


def _rotation(kv: KeyValueStore, new_key: EncryptionKey) -> Iterator[Operation[bytes | None, None]]:
    steps = opening.rotation(kv, new_key)
    results: list[bytes | None] = [None]
    while True:
        try:
            apply = steps.send(results.pop())
        except StopIteration:
            return
        yield Operation(lambda _, apply=apply: apply, results.append)  # type: ignore[misc]
