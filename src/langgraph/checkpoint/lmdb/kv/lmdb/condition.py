"""`Condition`: the files, the map, the readers and the lock holders of an open store."""

from __future__ import annotations

import os
from dataclasses import dataclass

from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.compaction import free_pages
from langgraph.checkpoint.lmdb.kv.lmdb.environment import Environment
from langgraph.checkpoint.lmdb.kv.lmdb.meta_pages import read_meta_pages, used_length
from langgraph.checkpoint.lmdb.kv.lmdb.page_reader import PageReader
from langgraph.checkpoint.lmdb.kv.lmdb.process_locks import holders


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """A snapshot that a process reads."""

    process: int
    merges_behind: int
    """Transactions of LMDB since the snapshot. Pages that they freed are not reused."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of a store's files. Sizes are in bytes."""

    length: int
    """Length of the data file."""
    occupied: int
    """Bytes that the file system has allocated for both files."""
    used: int
    """Bytes of the pages that were ever used."""
    free: int
    """Bytes of free pages among them."""
    map_size: int
    readers: int
    """Slots of the reader table that are in use."""
    max_readers: int
    snapshots: tuple[OpenSnapshot, ...]
    """The snapshots that other processes read."""
    writers: tuple[int, ...]
    """Other processes that hold the write lock, as far as this user may see."""


def read_condition(env: Environment) -> Condition:
    """Return the condition of a store; called within a snapshot.

    Raises:
        DamagedError: Pages are damaged that every read needs.
    """
    folder = env.folder
    info = env.opened().info()
    with files.open_file(folder, files.DATA, "rb") as file:
        meta_pages = read_meta_pages(file)
        newest = meta_pages[0]
        reader = PageReader(file, newest.page_size)
        next(reader.entries(newest.main), None)
        free = free_pages(reader, newest) * newest.page_size
        if reader.skipped:
            raise DamagedError("pages of the data file are damaged", path=folder, record=files.DATA)
    # A line for each reader: process, thread, and the number of the snapshot or "-".
    columns = [line.split() for line in env.opened().readers().splitlines()[1:]]
    snapshots = [
        OpenSnapshot(int(process), max(info["last_txnid"] - int(snapshot), 0))
        for process, _, snapshot in columns
        if snapshot != "-" and int(process) != os.getpid()
    ]
    return Condition(
        length=files.length(folder),
        occupied=files.occupied(folder),
        used=used_length(meta_pages),
        free=free,
        map_size=info["map_size"],
        readers=len(columns),
        max_readers=info["max_readers"],
        snapshots=tuple(snapshots),
        writers=tuple(holders(env.identity, "FLOCK")),
    )
