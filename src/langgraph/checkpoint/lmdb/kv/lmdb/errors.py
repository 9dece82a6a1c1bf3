"""What LMDB and the operating system report, as errors of ours."""

from __future__ import annotations

import errno
import os
import resource
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

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PATH: Final = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)
# py-lmdb gives an errno only as the text that strerror has for it.
_BY_TEXT: Final = {os.strerror(number): number for number in (*_FULL, *_PATH, errno.EIO)}


def translate_lmdb_error(error: lmdb.Error, path: str, doing: str) -> LmdbSaverError:
    """The error of ours for one of LMDB's.

    Args:
        error: What py-lmdb raised.
        path: The store's folder.
        doing: What was being done, to follow "while".
    """
    message = f"{error} while {doing}"
    if isinstance(error, lmdb.MapFullError):
        return StoreFullError(f"the store's map is full and cannot grow while {doing}", path=path)
    if isinstance(error, lmdb.MemoryError):
        return StoreFullError(f"memory or address space is used up while {doing}", path=path)
    if isinstance(error, lmdb.ReadersFullError):
        return TooManyReadersError("the reader table is full", path=path)
    if isinstance(error, (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError)):
        return DamagedError(message, path=path, record="data.mdb")
    if isinstance(error, lmdb.VersionMismatchError):
        return FormatVersionError(message, path=path)
    if isinstance(error, lmdb.TxnFullError):
        return UsageError(message, path=path, advice="Write less in one transaction.")
    if isinstance(error, lmdb.DiskError):
        return _from_errno(errno.ENOSPC, message, path)
    if isinstance(error, lmdb.ReadonlyError):
        return _from_errno(errno.EACCES, message, path)
    number = _BY_TEXT.get(str(error).rpartition(": ")[2], errno.EIO)
    # LMDB takes a write that was cut short, as the last one on a full disk is, for a broken disk.
    if number == errno.EIO and _is_full(path):
        number = errno.ENOSPC
    return _from_errno(number, message, path)


def translate_os_error(error: OSError, path: str, doing: str) -> LmdbSaverError:
    """The error of ours for one of the operating system's."""
    return _from_errno(error.errno or errno.EIO, f"{error.strerror or error} while {doing}", path)


def _is_full(path: str) -> bool:
    """Whether the file system or the process's limit leaves no room for one more block."""
    try:
        system = os.statvfs(path)
        longest = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        length = (Path(path) / "data.mdb").stat().st_size
    except OSError:
        return False
    return system.f_bavail == 0 or length >= longest != resource.RLIM_INFINITY


def _from_errno(number: int, message: str, path: str) -> LmdbSaverError:
    if number in _FULL:
        return StoreFullError(message, path=path)
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "Give this user the right to write there, or open the store with readonly=True."
        return InvalidPathError(message, path=path, advice=advice)
    if number in _PATH:
        return InvalidPathError(message, path=path, advice="Name a folder for the store.")
    return StoreIOError(message, path=path)
