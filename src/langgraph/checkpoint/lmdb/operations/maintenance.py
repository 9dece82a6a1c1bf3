"""The operations on a whole store: back up, compact, verify, rotate the key, copy."""

from __future__ import annotations

from functools import partial

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.encryption import copy
from langgraph.checkpoint.lmdb.encryption.key_source import EncryptionKey
from langgraph.checkpoint.lmdb.encryption.open import start_rotation
from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.base import FileStore, Progress
from langgraph.checkpoint.lmdb.models import VerifyReport
from langgraph.checkpoint.lmdb.operations.session import Operations, Session, simple
from langgraph.checkpoint.lmdb.verification.repair import repair as repair_store
from langgraph.checkpoint.lmdb.verification.verify import verify as verify_store


def backup(session: Session, path: object, progress: Progress | None) -> None:
    """Copy one snapshot of the store to a new folder."""
    validation.optional_function(progress, "progress")
    folder = validation.folder(path)
    _files(session, "back up").backup(folder, progress)


def compact(session: Session) -> int:
    """Return unused space to the file system; return about how many bytes."""
    return _files(session, "compact").compact()


def _files(session: Session, doing: str) -> FileStore:
    """Return the files of the store.

    Raises:
        UsageError: The store has no files.
    """
    if session.kv.files is None:
        raise UsageError(f"this kind of store has no files to {doing}")
    return session.kv.files


def verify(session: Session, repair: bool, progress: Progress | None) -> VerifyReport:
    """Check the whole store, and repair it if that is wanted."""
    validation.flag(repair, "repair")
    validation.optional_function(progress, "progress")
    if repair:
        return repair_store(session.kv, session.options, progress)
    return verify_store(session.kv, session.options, progress)


def rotate_key(session: Session, new_key: EncryptionKey) -> Operations[None]:
    """Encrypt an encrypted store with another key, one operation per batch of records."""
    rotation = start_rotation(session.kv, new_key)
    progress = yield simple(rotation.begin)
    while progress is not None:
        progress = yield simple(partial(rotation.proceed, progress=progress))


def copy_store(session: Session, path: object, key: EncryptionKey | None) -> None:
    """Copy one snapshot of the store to a new folder, with another encryption."""
    session.kv.size()  # raises StoreClosedError before the folder is created
    copy.copy_to_folder(session.kv, validation.folder(path), key)
