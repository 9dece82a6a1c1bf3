"""Another key for a store: in place, or for a copy of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb import opening
from langgraph.checkpoint.lmdb.encryption.copy import copy_store
from langgraph.checkpoint.lmdb.encryption.open import open_encrypted, start_rotation
from langgraph.checkpoint.lmdb.kv import workers
from langgraph.checkpoint.lmdb.kv.lmdb import creation
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.operations.session import simple

if TYPE_CHECKING:
    import os

    from langgraph.checkpoint.lmdb.encryption.key_source import EncryptionKey
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
    from langgraph.checkpoint.lmdb.operations.session import Operations, Session


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
        self._session.run_sequence(_rotate(self._kv, new_key))

    async def arotate_key(self, new_key: EncryptionKey) -> None:
        """As `rotate_key`."""
        await self._session.run_sequence_async(_rotate(self._kv, new_key))

    def copy_store(
        self, path: str | os.PathLike[str], *, encryption_key: EncryptionKey | None
    ) -> None:
        """Copy the whole store, as it is at this moment, to a new one with another encryption.

        So a store without encryption becomes one that has it: open the copy with the key, and
        delete the original. An error or an interrupt leaves nothing of the copy. A process that is
        killed leaves a hidden folder beside `path`, whose name ends in `.part`: delete it.

        Args:
            path: The folder of the new store. Nothing is overwritten, not even an empty folder.
            encryption_key: As of `LmdbSaver`. None makes a store without encryption.

        Raises:
            InvalidPathError: There is something at the path, or nothing can be made there.
            StoreClosedError: The saver is closed.
            StoreFullError: There is no room.
        """
        source = self._kv
        source.size()  # a closed store is refused before anything is made
        target = creation.check_target(opening.folder(path), source.folder)
        with creation.new_folder(target, "copying the store") as made:
            copy = LmdbStore.open(made)
            try:
                copy_store(source, open_encrypted(copy, encryption_key, new=True))
            finally:
                copy.close()

    async def acopy_store(
        self, path: str | os.PathLike[str], *, encryption_key: EncryptionKey | None
    ) -> None:
        """As `copy_store`."""
        await workers.call(self.copy_store, path, encryption_key=encryption_key)


def _rotate(kv: KeyValueStore, new_key: EncryptionKey) -> Operations[None]:
    rotation = start_rotation(kv, new_key)
    progress = yield simple(rotation.begin)
    while progress is not None:
        progress = yield simple(partial(rotation.proceed, progress=progress))
