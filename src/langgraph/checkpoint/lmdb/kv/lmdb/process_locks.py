"""Locks between the processes that use a store, on its data file and on `log-lock.mdb`.

LMDB makes writers wait in a robust mutex in shared memory. Such a mutex can lose a wake-up: a
process that is killed after it was woken, and before it took the mutex, wakes no other process,
and a process that sleeps behind it sleeps forever. So processes take locks of the kernel first, and
at most one process waits for LMDB's mutex.

- Write lock: a `flock`. A process holds it during a write transaction. The
  `flock` of `log-lock.mdb` gives writers their turns: see `kv/log/counters.py`.
- Reader lock: byte 2^62, exclusive. A process holds it while it takes or frees slots of LMDB's
  reader table, which LMDB guards by a second robust mutex.
- Waiting: byte 2^62 + 1, shared. A process holds it while it waits for the write lock.
- Presence: a byte that is derived from the identity of the lock file, shared. A process holds it
  while the store is open.

A process that had the write lock a moment ago gives way while another process is waiting, or it
would have the lock again and again. Presence shows which lock file a process uses: two processes
with one data file and two lock files would overwrite each other's commits.

These locks are not on LMDB's lock file, because a lock file can be deleted, and because a process
that closes LMDB's lock file releases LMDB's locks on it. A `flock` and a lock of an open file
description belong to the descriptor that took them. Closing another descriptor of the file keeps
them, unlike a POSIX record lock. The kernel releases them when the process dies. A child process
shares the descriptor between fork and exec, so a lock is released by a call, not by closing.

A system without locks of open file descriptions has neither a reader lock nor presence.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from langgraph.checkpoint.lmdb.errors import StoreBusyError
from langgraph.checkpoint.lmdb.kv.lmdb.files import DATA, open_descriptor

TIMEOUT: Final = 60.0  # seconds that a process waits for a lock
_WAIT_SHARE: Final = 8  # a pause is this part of the time waited so far, within the bounds below
_MIN_PAUSE: Final = 50e-6  # seconds
_MAX_PAUSE: Final = 2e-3
_GIVE_WAY: Final = 0.002  # seconds after the release in which a process gives way

_SET: Final[int | None] = getattr(fcntl, "F_OFD_SETLK", None)
_GET: Final[int | None] = getattr(fcntl, "F_OFD_GETLK", None)
OPEN_FILE_LOCKS: Final = _SET is not None
_FLOCK: Final = struct.Struct("hhqqi4x")  # type, whence, start, length, process
_READERS: Final = 1 << 62
_WAITING: Final = _READERS + 1
_HASH_FACTOR: Final = 0x9E3779B97F4A7C15


class ProcessLocks:
    """The locks of one process on one data file.

    No method waits: False means that another process holds the lock. A release that the system
    refuses is repeated at the next try, or happens when the process ends.

    Args:
        folder: The store's folder.
        lock_file: Device and inode of the lock file in use; None without a lock file.
        readonly: Accept a data file that cannot be opened for writing.
        name: Name of the file to lock.

    Attributes:
        release_readers: Function that releases the reader lock, if this process holds it.
        handle: Descriptor that the locks belong to. It is writable if the process may write.
    """

    __slots__ = (
        "_held",
        "_presence",
        "_released_at",
        "_waiting",
        "_writable",
        "handle",
        "release_readers",
    )

    def __init__(
        self,
        folder: str,
        lock_file: tuple[int, int] | None,
        *,
        readonly: bool = False,
        name: str = DATA,
    ) -> None:
        try:
            self.handle = open_descriptor(folder, name, os.O_RDWR)
            self._writable = True
        except OSError as error:
            if not readonly or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            self.handle = open_descriptor(folder, name, os.O_RDONLY)
            self._writable = False
        try:
            self.release_readers = _releasing(self.handle, _READERS)
        except BaseException:
            os.close(self.handle)
            raise
        self._released_at = 0.0
        self._held = False
        self._waiting = False
        self._presence = None if lock_file is None else _presence_byte(lock_file)

    def identity(self) -> tuple[int, int]:
        """Return the device and inode of the data file."""
        status = os.fstat(self.handle)
        return status.st_dev, status.st_ino

    def length(self) -> int:
        """Return the length of the data file in bytes, holes included."""
        return os.fstat(self.handle).st_size

    def try_acquire_write(self) -> bool:
        """Try to take the write lock."""
        waiting = self._waiting
        had_it = time.monotonic() < self._released_at + _GIVE_WAY
        if had_it and not waiting and _is_held(self.handle, _WAITING, _WAITING + 1):
            return False
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waiting:
                self._waiting = True  # first: an interrupt may come before the next call
                _set(self.handle, fcntl.F_RDLCK, _WAITING, 1)
            return False
        self._held = True
        if waiting:
            self.stop_waiting()
        return True

    def release_write(self) -> None:
        """Release the write lock, if this process holds it."""
        with suppress(OSError):
            fcntl.flock(self.handle, fcntl.LOCK_UN)
        if self._held:
            self._held = False
            self._released_at = time.monotonic()

    def stop_waiting(self) -> None:
        """Show that this process no longer waits for the write lock."""
        if self._waiting:
            _release(self.handle, _WAITING)
            self._waiting = False

    def acquire_readers(self) -> bool:
        """Try to take the reader lock; one thread of a process at a time."""
        # A process that may not write the data file cannot lock it exclusively.
        return not self._writable or _set(self.handle, fcntl.F_WRLCK, _READERS, 1)

    def join(self) -> bool:
        """Show presence, unless another process has the store open with another lock file.

        If two processes join with two lock files at the same time, at least one is refused.
        """
        presence = self._presence
        if presence is not None and not _set(self.handle, fcntl.F_RDLCK, presence, 1):
            return False
        if presence is None:
            return not _is_held(self.handle, 0, _READERS)
        if _is_held(self.handle, 0, presence) or _is_held(self.handle, presence + 1, _READERS):
            _release(self.handle, presence)
            return False
        return True

    def exclude_others(self) -> bool:
        """Keep other processes from joining; return False if one has joined with this lock file."""
        presence = self._presence
        return presence is not None and _set(self.handle, fcntl.F_WRLCK, presence, 1)

    def close(self) -> None:
        """Release all locks, or let a child process that shares the descriptor release them."""
        os.close(self.handle)


class LockWait:
    """Pauses between attempts to take a lock that another process holds.

    Args:
        folder: The store's folder, for errors.
        identity: Device and inode of the data file.
        writing: True for the write lock, False for the reader lock.
    """

    __slots__ = ("_folder", "_identity", "_start", "_writing")

    def __init__(self, folder: str, identity: tuple[int, int], *, writing: bool) -> None:
        self._start = time.monotonic()
        self._folder = folder
        self._identity = identity
        self._writing = writing

    def pause(self) -> None:
        """Sleep for a moment.

        Raises:
            StoreBusyError: `TIMEOUT` seconds have passed.
        """
        waited = time.monotonic() - self._start
        if waited >= TIMEOUT:
            raise self._busy()
        pause = min(max(waited / _WAIT_SHARE, _MIN_PAUSE), _MAX_PAUSE)
        time.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311 - processes must not keep step

    def _busy(self) -> StoreBusyError:
        lock = "write lock" if self._writing else "reader table"
        message = f"another process has held the store's {lock} for {TIMEOUT:g} s"
        found = holders(self._identity, "FLOCK" if self._writing else "OFDLCK")
        return StoreBusyError(message, path=self._folder, processes=found)


def claim(handle: int) -> bool:
    """Keep other processes from opening the store; return False if one has it open.

    Args:
        handle: Writable descriptor of the data file. Closing it ends the claim.
    """
    return _set(handle, fcntl.F_WRLCK, 0, _READERS)


def holders(identity: tuple[int, int], kind: str) -> list[int]:
    """Return the other processes that hold a lock on a data file, as far as this user may see.

    Args:
        identity: Device and inode of the data file.
        kind: Linux's name of the lock: `"FLOCK"` for the write lock, `"OFDLCK"` for the others.
    """
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fdinfo/*"):
        process, _, descriptor = entry.parts[2:]
        try:
            status = Path("/proc", process, "fd", descriptor).stat()
            if (status.st_dev, status.st_ino) == identity and kind in entry.read_text():
                found.add(int(process))
        except OSError:  # the process has ended, or belongs to another user
            continue
    return sorted(found - {os.getpid()})


def _presence_byte(lock_file: tuple[int, int]) -> int:
    device, inode = lock_file
    return 1 + (device * _HASH_FACTOR + inode) % (_READERS - 2)


def _set(handle: int, kind: int, start: int, length: int) -> bool:
    """Lock or unlock bytes; return False if another process holds one of them."""
    if _SET is None:
        return True
    try:
        fcntl.fcntl(handle, _SET, _FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno != errno.EINVAL:  # EINVAL: the system lacks these locks
            raise
    return True


def _releasing(handle: int, byte: int) -> Callable[[], object]:
    """Return a function that releases a byte.

    It is not Python code: in a `finally` block no interrupt comes before it has run.
    """
    if _SET is None:
        return bool
    release = partial(fcntl.fcntl, handle, _SET, _FLOCK.pack(fcntl.F_UNLCK, 0, byte, 1, 0))
    try:
        release()
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: the system lacks these locks
            raise
        return bool
    return release


def _release(handle: int, byte: int) -> None:
    with suppress(OSError):
        _set(handle, fcntl.F_UNLCK, byte, 1)


def _is_held(handle: int, start: int, stop: int) -> bool:
    """Return True if another process holds one of the bytes."""
    if _GET is None:
        return False
    question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, stop - start, 0)
    try:
        answer: bytes = fcntl.fcntl(handle, _GET, question)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: the system lacks these locks
            raise
        return False
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
