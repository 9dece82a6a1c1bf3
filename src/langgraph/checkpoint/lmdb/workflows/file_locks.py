"""`FileLockManager`: locks by files, for the processes of one machine.

The file `HASH.lock` of a held lock is locked by filelock, with `flock`. The kernel releases it when
its process dies. `lock_files` describes the other file. Both are deleted at the release.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.checkpoint.lmdb.errors import (
    InvalidPathError,
    LmdbSaverError,
    StoreFullError,
    StoreIOError,
)
from langgraph.checkpoint.lmdb.lock_files import FLOCK, LOCKS, holder_of, lock_file
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.locks import LockHolder, Locks

try:
    from filelock import FileLock, Timeout
except ImportError as error:
    raise ImportError("workflows need: pip install 'langgraph-lmdb[workflows]'") from error


class _Held(NamedTuple):
    """A held lock.

    Attributes:
        file_lock: The lock of filelock.
        identity: Device and inode of its file.
        handle: Descriptor of the file that names the holder.
    """

    file_lock: Any
    identity: tuple[int, int]
    handle: int


class FileLockManager(Locks[_Held]):
    """A lock manager on files in the store's folder.

    A lock ends with its process, however the process ends. A forked child does not inherit it.
    Managers on one folder exclude each other, in one process and in several.

    Args:
        path: The folder of the store. The first lock creates it if it does not exist.

    Attributes:
        folder: The folder of the lock files.

    Raises:
        InvalidPathError: The path is not a folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            arguments.refuse("path", "a str or an os.PathLike that names a folder", path)
        try:
            store = Path(path).expanduser().resolve()
            is_usable = store.is_dir() or not store.exists()
        except (OSError, ValueError, RuntimeError) as error:
            raise InvalidPathError(f"the path is invalid: {error}", path=str(path)) from error
        if not is_usable:
            raise InvalidPathError("the path is not a folder", path=str(path))
        self.folder = store / LOCKS
        super().__init__()

    def is_locked(self, name: str) -> bool:
        """Return True if any process holds the lock. Never makes another `acquire` fail."""
        return self.holder(name) is not None

    def holder(self, name: str) -> LockHolder | None:
        """Return the process that holds a lock; None if it is free."""
        with _translated(self.folder):
            found = holder_of(self.folder, arguments.text(name, "name"))
        if found is None:
            return None
        since = datetime.fromtimestamp(found.since, timezone.utc)
        return LockHolder(found.host, found.pid, since)

    def _take(self, name: str) -> _Held | None:
        place = lock_file(self.folder, name, "lock")
        with _translated(self.folder):
            self.folder.mkdir(0o700, parents=True, exist_ok=True)
            file_lock = FileLock(place, mode=0o600, thread_local=False, fallback_to_soft=False)
            try:
                file_lock.acquire(blocking=False)
            except Timeout:
                return None
            try:
                status = place.stat()
                return _Held(file_lock, (status.st_dev, status.st_ino), self._publish(name))
            except BaseException:
                file_lock.release()
                raise

    def _publish(self, name: str) -> int:
        """Write the record of the holder; return a descriptor that has it locked."""
        new = lock_file(self.folder, name, "new")
        record = json.dumps({"name": name, "holder": [socket.gethostname(), os.getpid(), _now()]})
        new.unlink(missing_ok=True)  # of a process that died
        with _forking:
            handle = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            _handles.add(handle)
        try:
            os.write(handle, record.encode())
            _lock_description(handle, fcntl.F_WRLCK)
            new.rename(lock_file(self.folder, name, "holder"))
        except BaseException:
            _close(handle)
            raise
        return handle

    def _give(self, name: str, token: _Held) -> None:
        if self._is_valid(token):  # else the files are another holder's
            with suppress(OSError):
                lock_file(self.folder, name, "holder").unlink()
                # A waiter that has the file open sees that it has no name, and tries again.
                lock_file(self.folder, name, "lock").unlink()
        # A child between fork and exec has the descriptor too, so it is not enough to close it.
        _lock_description(token.handle, fcntl.F_UNLCK)
        _close(token.handle)
        token.file_lock.release()

    def _is_valid(self, token: _Held) -> bool:
        try:
            status = os.stat(token.file_lock.lock_file)  # noqa: PTH116 - once per checkpoint
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == token.identity

    def _disown(self, tokens: list[_Held]) -> None:
        """Do nothing: the hook below closes our descriptors, and filelock its own."""


def _lock_description(handle: int, kind: int) -> None:
    fcntl.fcntl(handle, fcntl.F_OFD_SETLK, FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0))


def _now() -> float:
    return datetime.now(timezone.utc).timestamp()


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Raise errors of the system as errors of the package."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind: type[LmdbSaverError] = StoreFullError if full else StoreIOError
        raise kind(f"a lock file cannot be used: {error}", path=str(folder)) from error


_forking = threading.RLock()
"""Held while descriptors are opened and closed, and by a thread that forks."""
_handles: set[int] = set()
"""The descriptors that lock a holder's file. A child that kept one would keep the lock."""


def _close(handle: int) -> None:
    with _forking:
        _handles.discard(handle)
        os.close(handle)


def _close_inherited() -> None:
    for handle in _handles:
        os.close(handle)
    _handles.clear()


os.register_at_fork(after_in_child=_close_inherited)
os.register_at_fork(
    before=_forking.acquire,
    after_in_parent=_forking.release,
    after_in_child=_forking._at_fork_reinit,  # type: ignore[attr-defined]
)
