"""Errors of LMDB and of the operating system, translated to the errors of this package."""

from __future__ import annotations

import errno
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    FormatVersionError,
    InvalidPathError,
    LmdbSaverError,
    StoreFullError,
    StoreIOError,
    TooManyReadersError,
    UsageError,
)

LMDB_FAILURES: Final = (lmdb.Error, SystemError, MemoryError, OverflowError)
"""Exceptions of py-lmdb for valid arguments. On damaged pages it also raises errors of the
interpreter."""
_FULL: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the limit on the length of files is reached",
}
_DENIED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_PATH: Final = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
_HANDLES: Final = (errno.EMFILE, errno.ENFILE)
# py-lmdb gives an errno only as the text that strerror has for it.
_BY_TEXT: Final = {
    os.strerror(number): number
    for number in (*_FULL, *_DENIED, *_PATH, *_HANDLES, errno.ENOMEM, errno.EIO)
}
_DAMAGED: Final = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    # LMDB calls these internal errors. Undamaged pages do not lead to them.
    lmdb.PageFullError,
    lmdb.CursorFullError,
    SystemError,
    OverflowError,
)
_PROBE: Final = 64 << 10  # bytes


def translate_lmdb_error(error: Exception, path: str, doing: str) -> LmdbSaverError:
    """Return the error of this package for an error of LMDB.

    Args:
        error: The exception of py-lmdb, one of `LMDB_FAILURES`.
        path: The store's folder.
        doing: Text for the error, to follow "while".
    """
    if isinstance(error, SystemError) and isinstance(error.__cause__, lmdb.Error):
        return translate_lmdb_error(error.__cause__, path, doing)
    message = f"{error} while {doing}"
    if isinstance(error, lmdb.MapFullError):
        return StoreFullError(f"the store's map is full and cannot grow while {doing}", path=path)
    if isinstance(error, (lmdb.MemoryError, MemoryError)):
        return StoreFullError(f"memory or address space is used up while {doing}", path=path)
    if isinstance(error, lmdb.ReadersFullError):
        return TooManyReadersError("the reader table is full", path=path)
    if isinstance(error, _DAMAGED):
        return DamagedError(message, path=path, record="data.mdb")
    if isinstance(error, lmdb.VersionMismatchError):
        return FormatVersionError(message, path=path)
    if isinstance(error, lmdb.TxnFullError):
        return UsageError(message, path=path, advice="Write less in one transaction.")
    if isinstance(error, lmdb.DiskError):
        return _from_errno(errno.ENOSPC, message, path, doing)
    if isinstance(error, lmdb.ReadonlyError):
        return _from_errno(errno.EACCES, message, path, doing)
    if is_open_already(error):
        return UsageError(
            "the store is open in this process through another lmdb.Environment",
            path=path,
            advice="Close that one first.",
        )
    number = _BY_TEXT.get(str(error).rpartition(": ")[2], errno.EIO)
    # LMDB reports a partial write, such as the last one on a full disk, as an I/O error.
    if number == errno.EIO:
        number = _why_full(path) or number
    return _from_errno(number, message, path, doing)


def translate_os_error(error: OSError, path: str, doing: str) -> LmdbSaverError:
    """Return the error of this package for an error of the operating system."""
    number = error.errno or errno.EIO
    return _from_errno(number, f"{error.strerror or error} while {doing}", path, doing)


@contextmanager
def reported(path: str, doing: str) -> Iterator[None]:
    """Translate the errors of LMDB and of the operating system that a `with` block raises.

    Args:
        path: The store's folder.
        doing: Text for errors, to follow "while".
    """
    try:
        yield
    except OSError as error:
        raise translate_os_error(error, path, doing) from error
    except LMDB_FAILURES as error:
        raise translate_lmdb_error(error, path, doing) from error


def is_open_already(error: Exception) -> bool:
    """Return True if LMDB refused to open a folder that this process has open."""
    return "already open in this process" in str(error)


def _why_full(path: str) -> int | None:
    """Return the errno of the reason that the data file cannot grow, or None if it can."""
    try:
        system = os.statvfs(path)
        longest = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        length = (Path(path) / "data.mdb").stat().st_size
    except OSError:
        return None
    if length >= longest != resource.RLIM_INFINITY:
        return errno.EFBIG
    if system.f_bavail == 0:
        return errno.ENOSPC
    try:  # quotas and reserved blocks show only in a write
        with tempfile.TemporaryFile(dir=path, buffering=0) as probe:
            short = probe.write(bytes(_PROBE)) < _PROBE
    except OSError as error:
        return error.errno if error.errno in _FULL else None
    return errno.ENOSPC if short else None


def _from_errno(number: int, message: str, path: str, doing: str) -> LmdbSaverError:
    if number in _FULL:
        return StoreFullError(f"{_FULL[number]} while {doing}", path=path)
    if number == errno.ENOMEM:
        return StoreFullError(f"memory or address space is used up while {doing}", path=path)
    if number in _HANDLES:
        advice = "Close savers that are not used any more, or raise the limit (ulimit -n)."
        return StoreIOError(f"too many files are open while {doing}", path=path, advice=advice)
    if number in _DENIED:
        advice = "Give this user the right to write there, or open the store with readonly=True."
        return InvalidPathError(message, path=path, advice=advice)
    if number in _PATH:
        return InvalidPathError(message, path=path, advice="Name a folder for the store.")
    return StoreIOError(message, path=path)
