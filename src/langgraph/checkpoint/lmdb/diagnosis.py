"""`diagnose`: the condition of a store, of its disk and of what uses it, and what to do about each.

Nothing is written, and values are not read.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal, NamedTuple

import lmdb

from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.engine.store import check_format
from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    FormatVersionError,
    InvalidPathError,
    LmdbSaverError,
    MissingKeyError,
    StoreBusyError,
    StoreReplacedError,
    WrongKeyError,
)
from langgraph.checkpoint.lmdb.format.envelope import FORMAT_VERSION
from langgraph.checkpoint.lmdb.kv.lmdb import files, meta_pages
from langgraph.checkpoint.lmdb.kv.lmdb.condition import Condition
from langgraph.checkpoint.lmdb.kv.lmdb.preallocation import is_nearly_full
from langgraph.checkpoint.lmdb.kv.log import log_file
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from langgraph.checkpoint.lmdb.lock_files import LOCKS, holders, locked_thread

Level = Literal["ok", "advice", "risk"]
"""`risk`: stored data, or data that is about to be stored, may be lost."""

_PACKAGES: Final = (
    *("langgraph-lmdb", "langgraph-checkpoint", "langgraph"),
    *("lmdb", "msgpack", "zstandard", "xxhash"),
)
_NETWORK: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ncpfs")
)
"""File systems on which processes do not share LMDB's map."""
_IN_MEMORY: Final = frozenset(("tmpfs", "ramfs"))
_LITTLE_ROOM: Final = 16 << 20
"""Free bytes below which the next commits may fail."""
_LONG_SNAPSHOT: Final = 100
"""Merges behind which a snapshot is worth a word."""
_READERS_SHARE: Final = 0.8


class Finding(NamedTuple):
    """One line of a diagnosis."""

    topic: str
    """`versions`, `files`, `file system`, `free space`, `store`, `disk`, `map`, `readers` or
    `locks`."""
    level: Level
    text: str
    advice: str | None = None
    """Sentence that says what to do; None: nothing."""


def diagnose(path: str) -> list[Finding]:
    """Return the findings about the store in a folder, also of one that cannot be opened.

    Raises:
        InvalidPathError: The path holds no store.
    """
    folder = Path(path).expanduser()
    if files.status(folder, files.DATA) is None:
        raise InvalidPathError("there is no store here", path=path, advice="Check the path.")
    disk = os.statvfs(folder)
    return [
        *_versions(),
        *_files(folder),
        file_system(os.path.realpath(folder), Path("/proc/self/mountinfo")),
        free_space(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize),
        *_store(folder),
        *_run_locks(folder),
    ]


def file_system(folder: str, mounts: Path) -> Finding:
    """Return the finding about the file system of a folder.

    Args:
        folder: The real path of the folder.
        mounts: The table of mounts, in Linux's form.
    """
    kind = _mounted(folder, mounts)
    if kind is None:
        return Finding("file system", "ok", "unknown: the system does not name it")
    if kind in _NETWORK or kind.startswith("fuse."):
        text = f"{kind}: LMDB does not work on network file systems"
        return Finding("file system", "risk", text, "Move the store to a local disk.")
    if kind in _IN_MEMORY:
        text = f"{kind}: the store is lost when the machine restarts"
        return Finding("file system", "advice", text, "Move it to a disk if it is to last.")
    if kind == "overlay":
        text = "overlay: the store is lost with its container"
        return Finding("file system", "advice", text, "Put it on a volume if it is to last.")
    return Finding("file system", "ok", kind)


def free_space(free: int, total: int) -> Finding:
    """Return the finding about the free bytes of a disk."""
    text = f"{_size(free)} of {_size(total)} are free"
    advice = "Make room, or delete threads and run: langgraph-lmdb compact STORE"
    if free < _LITTLE_ROOM:
        return Finding("free space", "risk", f"{text}: the next commits may fail", advice)
    if is_nearly_full(free, total):
        return Finding("free space", "advice", f"{text}: the disk is nearly full", advice)
    return Finding("free space", "ok", text)


def on_condition(found: Condition) -> Iterator[Finding]:
    """Yield the findings about an open store's files, map, readers and write lock."""
    free_share = found.free / max(found.used, 1)
    text = f"{_size(found.occupied)} on disk, of which {_size(found.free)} are free pages"
    if free_share > 1 / 2 and found.free > _LITTLE_ROOM:
        advice = "New checkpoints reuse them. To return them now, run: langgraph-lmdb compact STORE"
        yield Finding("disk", "advice", text, advice)
    else:
        yield Finding("disk", "ok", text)
    text = f"{_size(found.used)} of {_size(found.map_size)} are used; the map grows by itself"
    yield Finding("map", "ok", text)
    text = f"{found.readers} of {found.max_readers} slots are in use"
    if found.readers > _READERS_SHARE * found.max_readers:
        advice = "Use fewer processes, or fewer threads that read at the same time."
        yield Finding("readers", "advice", text, advice)
    else:
        yield Finding("readers", "ok", text)
    for snapshot in found.snapshots:
        if snapshot.merges_behind > _LONG_SNAPSHOT:
            text = (
                f"process {snapshot.process} reads a snapshot that is {snapshot.merges_behind} "
                "merges old; pages freed since then are not reused"
            )
            advice = "Wait for it, or end that process if it hangs."
            yield Finding("readers", "advice", text, advice)
    names = ", ".join(map(str, found.writers))
    text = f"the write lock is held by process {names}" if names else "the write lock is free"
    yield Finding("locks", "ok", text)


def _versions() -> Iterator[Finding]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    library = ".".join(map(str, lmdb.version()))
    python = f"Python {platform.python_version()}"
    yield Finding("versions", "ok", ", ".join((*found, f"LMDB {library}", python)))


def _files(folder: Path) -> Iterator[Finding]:
    data = (folder / files.DATA).lstat()
    if (folder / files.DATA).is_symlink() or data.st_nlink > 1:
        text = "data.mdb is a link: processes that open it elsewhere use another lock file"
        yield Finding("files", "risk", text, "Use one path, and remove the other.")
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        text = f"other users may look into the folder (mode {mode:o})"
        yield Finding("files", "advice", text, f"Run: chmod 700 {folder}")
    for path in sorted(folder.glob("quarantine-*.jsonl")):
        text = f"{path} has the records that a repair removed"
        yield Finding("files", "advice", text, "Delete it when it is no longer needed.")


def _mounted(folder: str, mounts: Path) -> str | None:
    """Return the kind of the file system of a folder; None if it is unknown."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    best: tuple[int, str] | None = None
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode("latin-1", "replace").decode("unicode_escape")
        is_above = folder == point or folder.startswith(point.rstrip("/") + "/")
        if is_above and (best is None or len(point) >= best[0]):
            best = len(point), after.split()[0]
    return None if best is None else best[1]


def _store(folder: Path) -> Iterator[Finding]:
    """Yield the findings of opening the store."""
    with (folder / files.DATA).open("rb") as file:
        if not meta_pages.read_meta_pages(file):
            text = "data.mdb has no valid meta page"
            advice = f"Restore a backup, or run: langgraph-lmdb recover-pages {folder} TARGET"
            yield Finding("store", "risk", text, advice)
            return
    try:
        kv = LogStore.open(str(folder), readonly=True)
    except (DamagedError, StoreBusyError, StoreReplacedError) as error:
        yield Finding("store", "risk", error.message, error.advice)
        return
    except LmdbSaverError as error:
        yield Finding("store", "advice", error.message, error.advice)
        return
    try:
        condition = kv.condition()  # first: LMDB might not survive reading damaged pages
        yield _records(kv, folder)
        yield from on_condition(condition)
    except DamagedError as error:
        advice = f"Restore a backup, or run: langgraph-lmdb recover-pages {folder} TARGET"
        yield Finding("store", "risk", error.message, advice)
    finally:
        kv.close()


def _records(kv: LogStore, folder: Path) -> Finding:
    advice = f"To check every page and record, run: langgraph-lmdb verify {folder}"
    try:
        plain = open_encrypted(kv, None)
        check_format(plain)
    except (MissingKeyError, WrongKeyError) as error:
        return Finding("store", "advice", error.message, error.advice)
    except FormatVersionError as error:
        return Finding("store", "advice", error.message, error.advice)
    except DamagedError as error:
        if error.record == log_file.NAME:
            return Finding("store", "risk", error.message, error.advice)
        advice = f"Run: langgraph-lmdb verify {folder} --repair"
        return Finding("store", "risk", error.message, advice)
    encrypted = "not encrypted" if plain is kv else "encrypted"
    return Finding("store", "ok", f"opens; format version {FORMAT_VERSION}, {encrypted}", advice)


def _run_locks(folder: Path) -> Iterator[Finding]:
    try:
        held = [found for found in holders(folder / LOCKS) if locked_thread(found.name) is not None]
    except OSError as error:
        yield Finding("locks", "advice", f"the run locks cannot be read: {error}")
        return
    here = socket.gethostname()
    for found in held:
        host = "" if found.host == here else f" on {found.host}"
        thread = locked_thread(found.name)
        yield Finding("locks", "ok", f"process {found.pid}{host} runs thread {thread!r}")
    if not held:
        yield Finding("locks", "ok", "no run holds its lock")


def _size(count: int) -> str:
    """Return bytes as megabytes, or as gigabytes."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
