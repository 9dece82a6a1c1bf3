"""Opening a store's two files with LMDB."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final, Literal

import lmdb

from langgraph.checkpoint.lmdb.errors import DamagedError, RetryableError
from langgraph.checkpoint.lmdb.kv.lmdb import copies, files
from langgraph.checkpoint.lmdb.kv.lmdb.errors import is_open_already
from langgraph.checkpoint.lmdb.kv.lmdb.page_reader import is_truncated
from langgraph.checkpoint.lmdb.kv.lmdb.peers import check_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.kv.lmdb.peers import Peers

Sync = Literal["full", "normal", "off"]

_SYNC: Final[dict[str, dict[str, bool]]] = {
    "full": {},
    "normal": {"metasync": False},
    "off": {"sync": False},
}
SMALLEST_MAP: Final = 1 << 20
_ATTEMPTS: Final = 32
# Seconds within which processes that got in one another's way try again.
RETRY_JITTER: Final = 0.02


def open_files(
    peers: Peers,
    map_size: int,
    sync: Sync,
    *,
    readonly: bool,
    locked: bool,
    let_go: Callable[[], bool],
) -> lmdb.Environment:
    """Open the files with the largest map up to `map_size` that the system allows.

    Args:
        peers: Of the store, which has joined.
        map_size: Bytes. The map is larger if the data file is.
        sync: As of `LmdbStore.open`.
        readonly: Whether nothing is to be made or written.
        locked: Whether the lock file is used, as `Peers.join` told.
        let_go: What another copy of this package is to call, as of `copies.take`.

    Raises:
        RetryableError: Another copy of this package is using the store.
        StoreReplacedError: The lock file belongs to another data file.
        DamagedError: The data file was cut short.
    """
    folder = peers.place.folder
    attempts = _ATTEMPTS
    made: list[lmdb.Environment] = []

    def open_once() -> None:
        made.append(_open_once(folder, map_size, sync, readonly, locked))

    while True:
        if not copies.take(peers.place.identity, let_go):
            raise RetryableError(
                "another copy of this package in this process is using the store",
                path=folder,
                advice="End its calls or close its savers, then call again.",
            )
        smallest = max(SMALLEST_MAP, 2 * files.length(folder))
        try:
            peers.take_slot(open_once)
            return made.pop()
        except lmdb.MemoryError:
            if map_size <= smallest:
                raise
            map_size = max(map_size // 2, smallest)
        except lmdb.MapResizedError:  # another process is growing it just now
            if attempts == 0:
                raise
            attempts -= 1
            map_size = max(map_size * 2, smallest)
        except lmdb.Error as error:
            # The last process that closes has LMDB 0.9.31 destroy the locks, also those of one that
            # opens meanwhile. They are made anew for a process that is alone for a moment. Another
            # copy of this package may have opened the store again just now.
            passing = isinstance(error, lmdb.InvalidParameterError) or is_open_already(error)
            if attempts == 0 or not passing:
                raise
            attempts -= 1
            time.sleep(random.uniform(0, RETRY_JITTER))  # noqa: S311 - only to be apart


def _open_once(
    folder: str, map_size: int, sync: Sync, readonly: bool, locked: bool
) -> lmdb.Environment:
    """Open the files; called at the table turn, for LMDB takes a slot to look at its tree."""
    env = lmdb.open(
        folder,
        map_size=map_size,
        create=not readonly,
        readonly=readonly,
        mode=0o600,
        max_readers=files.MAX_READERS,
        max_spare_txns=1,
        lock=locked,
        **_SYNC[sync],
        **files.ENGINE,
    )
    try:
        check_numbers(env, folder)
        _check_length(folder, env)
        env.reader_check()
    except BaseException:
        env.close()
        raise
    return env


def _check_length(folder: str, env: lmdb.Environment) -> None:
    """Raise DamagedError if the data file was truncated."""
    length = files.length(folder)
    if length >= (env.info()["last_pgno"] + 1) * env.stat()["psize"]:
        return
    with files.open_file(folder, files.DATA, "rb") as file, env.begin() as snapshot:
        if is_truncated(file, snapshot.id()):
            message = f"the data file was cut short, to {length} bytes"
            raise DamagedError(message, path=folder, record=files.DATA)
