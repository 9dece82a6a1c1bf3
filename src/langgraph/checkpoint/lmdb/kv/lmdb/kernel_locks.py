"""The locks that processes hold on a data file, beside those of LMDB's lock file.

LMDB makes writers wait in a robust mutex in shared memory. Such a mutex can lose a wake-up: a
process that is killed after it was woken, and before it took the mutex, wakes no other process,
and a process that sleeps behind it sleeps forever. So processes take turns by locks of the kernel
first, and at most one process asks for LMDB's mutex at a time.

- The write turn is a `flock` of the data file. It is held for the length of a write transaction.
- The table turn is an exclusive lock of one byte. It is held while a slot of the reader table is
  taken, or slots of dead processes are freed: LMDB guards these with a second robust mutex.
- A process that waits for the write turn holds one more byte, shared. A process that has just had
  the turn sees it and gives way for a moment, or it would have the turn again and again.
- Presence is a shared lock of one byte, whose number stands for the lock file. It is held while the
  store is open. Two processes that use one data file with two lock files would overwrite each
  other's commits; each sees the presence of the other.

The locks are on the data file, because a lock file of their own could be deleted, and because the
process would drop LMDB's locks if it closed the lock file. A `flock` and a lock of an open file
description belong to the descriptor that took them. Closing another descriptor of the file keeps
them, which is not so for a POSIX record lock. Death releases them. A child shares the descriptor
between fork and exec, so a lock is released by a call and not by closing.

A system that has no locks of open file descriptions has neither a table turn nor presence.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from langgraph.checkpoint.lmdb.kv.lmdb.files import DATA, open_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable

_SET: Final[int | None] = getattr(fcntl, "F_OFD_SETLK", None)
_GET: Final[int | None] = getattr(fcntl, "F_OFD_GETLK", None)
_FLOCK: Final = struct.Struct("hhqqi4x")  # type, whence, start, length, process
_TABLE: Final = 1 << 62  # the byte of the table turn; those of presence come before it
_WAITING: Final = _TABLE + 1
_WAY: Final = 0.002  # seconds for which a process gives way to others
_MIX: Final = 0x9E3779B97F4A7C15


class KernelLocks:
    """One process's locks on one data file.

    No method waits. A lock that is held by another process is reported as False. One that the
    system does not release is released at the next try, or with the process.

    Args:
        folder: The store's folder.
        lock_file: Device and inode of the lock file in use; None without one.
        readonly: Whether the data file need not be writable.

    Attributes:
        give_table: Release the table turn, if this process holds it.
        handle: The descriptor that the locks belong to. Writable, if the process may write.
    """

    __slots__ = ("_given", "_held", "_presence", "_waiting", "_writable", "give_table", "handle")

    def __init__(
        self, folder: str, lock_file: tuple[int, int] | None, *, readonly: bool = False
    ) -> None:
        try:
            self.handle = open_descriptor(folder, DATA, os.O_RDWR)
            self._writable = True
        except OSError as error:
            if not readonly or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            self.handle = open_descriptor(folder, DATA, os.O_RDONLY)
            self._writable = False
        self.give_table = _releasing(self.handle, _TABLE)
        self._given = 0.0
        self._held = False
        self._waiting = False
        self._presence = None if lock_file is None else _presence(lock_file)

    def identity(self) -> tuple[int, int]:
        """Device and inode of the data file."""
        status = os.fstat(self.handle)
        return status.st_dev, status.st_ino

    def length(self) -> int:
        """Bytes in the data file, holes included."""
        return os.fstat(self.handle).st_size

    def take_write(self) -> bool:
        """Take the write turn."""
        waits = self._waiting
        had_it = time.monotonic() < self._given + _WAY
        if had_it and not waits and _is_held(self.handle, _WAITING, _WAITING + 1):
            return False
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waits:
                self._waiting = True  # first: an interrupt may come in between
                _set(self.handle, fcntl.F_RDLCK, _WAITING, 1)
            return False
        self._held = True
        if waits:
            self.stop_waiting()
        return True

    def give_write(self) -> None:
        """Release the write turn, if this process holds it."""
        with suppress(OSError):
            fcntl.flock(self.handle, fcntl.LOCK_UN)
        if self._held:
            self._held = False
            self._given = time.monotonic()

    def stop_waiting(self) -> None:
        """No longer try to take the write turn."""
        if self._waiting:
            _release(self.handle, _WAITING)
            self._waiting = False

    def take_table(self) -> bool:
        """Take the table turn; one thread of a process at a time."""
        # A process that may not write the data file cannot lock it exclusively.
        return not self._writable or _set(self.handle, fcntl.F_WRLCK, _TABLE, 1)

    def join(self) -> bool:
        """Show that the store is open, unless another process has it open with another lock file.

        Of two processes that join at once with two lock files at least one is refused.
        """
        presence = self._presence
        if presence is not None and not _set(self.handle, fcntl.F_RDLCK, presence, 1):
            return False
        if presence is None:
            return not _is_held(self.handle, 0, _TABLE)
        if _is_held(self.handle, 0, presence) or _is_held(self.handle, presence + 1, _TABLE):
            _release(self.handle, presence)
            return False
        return True

    def is_sole(self) -> bool:
        """Whether no other process has joined with the same lock file. If so, none can from now."""
        presence = self._presence
        return presence is not None and _set(self.handle, fcntl.F_WRLCK, presence, 1)

    def close(self) -> None:
        """Release all, unless a child shares the descriptor; then release it with the child."""
        os.close(self.handle)


def claim(handle: int) -> bool:
    """Keep other processes from opening the store, if none has it open.

    Args:
        handle: A writable descriptor of the data file. Closing it lets others in again.
    """
    return _set(handle, fcntl.F_WRLCK, 0, _TABLE)


def holders(identity: tuple[int, int], kind: str) -> list[int]:
    """The other processes that hold a lock on a data file, as far as this user may see.

    Args:
        identity: Device and inode of the data file.
        kind: As Linux calls the lock: `"FLOCK"` for the write turn, `"OFDLCK"` for the others.
    """
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fdinfo/*"):
        process, _, descriptor = entry.parts[2:]
        try:
            status = Path("/proc", process, "fd", descriptor).stat()
            if (status.st_dev, status.st_ino) == identity and kind in entry.read_text():
                found.add(int(process))
        except OSError:  # another user's, or it has ended
            continue
    return sorted(found - {os.getpid()})


def _presence(lock_file: tuple[int, int]) -> int:
    """The byte for a lock file."""
    device, inode = lock_file
    return 1 + (device * _MIX + inode) % (_TABLE - 2)


def _set(handle: int, kind: int, start: int, length: int) -> bool:
    """Lock or unlock bytes; False if another process holds one of them."""
    if _SET is None:
        return True
    try:
        fcntl.fcntl(handle, _SET, _FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno != errno.EINVAL:  # which says that the system has no such locks
            raise
    return True


def _releasing(handle: int, byte: int) -> Callable[[], object]:
    """Return a call that releases a byte.

    It is the interpreter's own code: in a `finally` block no interrupt comes before it has run.
    """
    if _SET is None:
        return bool
    release = partial(fcntl.fcntl, handle, _SET, _FLOCK.pack(fcntl.F_UNLCK, 0, byte, 1, 0))
    try:
        release()
    except OSError as error:
        if error.errno != errno.EINVAL:  # as in `_set`
            raise
        return bool
    return release


def _release(handle: int, byte: int) -> None:
    with suppress(OSError):
        _set(handle, fcntl.F_UNLCK, byte, 1)


def _is_held(handle: int, start: int, stop: int) -> bool:
    """Whether another process holds one of the bytes."""
    if _GET is None:
        return False
    question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, stop - start, 0)
    try:
        answer: bytes = fcntl.fcntl(handle, _GET, question)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
