"""A store's two files are opened and closed with LMDB, by one copy of this package at a time.

LMDB opens a store once in a process. A module that was loaded again, or a second copy of the
package, does not know which stores the first one has open. So a table of the open stores is kept on
LMDB's own module: store identity -> function that closes the store until its next use. Its
functions take and return what every version of the package understands.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, Literal, cast

import lmdb

from langgraph.checkpoint.lmdb.errors import DamagedError, RetryableError
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.errors import is_open_already
from langgraph.checkpoint.lmdb.kv.lmdb.page_reader import is_truncated
from langgraph.checkpoint.lmdb.kv.lmdb.peers import Peers, check_numbers

Yield = Callable[[], bool]

Sync = Literal["full", "normal", "off"]

_SYNC: Final[dict[str, dict[str, bool]]] = {
    "full": {},
    "normal": {"metasync": False},
    "off": {"sync": False},
}
"""Arguments of `lmdb.open` for each `sync`. With "full", a commit flushes the data, then the meta
page."""
SMALLEST_MAP: Final = 1 << 20
_ATTEMPTS: Final = 32
RETRY_JITTER: Final = 0.02
"""Seconds within which processes that disturbed each other try again."""
_OPEN_STORES: Final = "_langgraph_checkpoint_lmdb_open_1"


def open_files(
    peers: Peers,
    map_size: int,
    sync: Sync,
    *,
    readonly: bool,
    locked: bool,
    yield_store: Yield,
) -> lmdb.Environment:
    """Open the files with the largest map up to `map_size` that the system allows.

    Args:
        peers: Other processes, whom the store has joined.
        map_size: Bytes of the map. The map is larger if the data file is larger.
        sync: Durability, as `LmdbStore.open` takes it.
        readonly: Create and write nothing.
        locked: Use the lock file, as `Peers.join` returned.
        yield_store: Function that closes the store until its next use, and returns whether it
            could. Another copy of this package calls it.

    Raises:
        RetryableError: Another copy of this package is using the store.
        StoreReplacedError: The lock file belongs to another data file.
        DamagedError: The data file was truncated.
    """
    folder = peers.files.folder
    attempts = _ATTEMPTS
    opened: list[lmdb.Environment] = []

    def open_once() -> None:
        opened.append(_open_once(folder, map_size, sync, readonly, locked))

    while True:
        _take_from_other_copy(peers.files.identity, folder, yield_store)
        smallest = max(SMALLEST_MAP, 2 * files.length(folder))
        try:
            peers.take_slot(open_once)
            return opened.pop()
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
            # The last process that closes has LMDB 0.9.31 destroy the locks, also the locks of a
            # process that opens at that moment. The next process that is alone creates them again.
            # Another copy of this package may have opened the store again just now.
            temporary = isinstance(error, lmdb.InvalidParameterError) or is_open_already(error)
            if attempts == 0 or not temporary:
                raise
            attempts -= 1
            time.sleep(random.uniform(0, RETRY_JITTER))  # noqa: S311 - processes must not keep step


def forget(identity: tuple[int, int], yield_store: Yield) -> None:
    """Note that a store is closed, unless another copy of this package has opened it."""
    open_stores = _open_stores()
    if open_stores.get(identity) == yield_store:
        del open_stores[identity]


def _take_from_other_copy(identity: tuple[int, int], folder: str, yield_store: Yield) -> None:
    open_stores = _open_stores()
    other = open_stores.get(identity)
    if other is not None and other != yield_store and not other():
        raise RetryableError(
            "another copy of this package in this process is using the store",
            path=folder,
            advice="End its calls or close its savers, then call again.",
        )
    open_stores[identity] = yield_store


def _open_stores() -> dict[tuple[int, int], Yield]:
    return cast("dict[tuple[int, int], Yield]", lmdb.__dict__.setdefault(_OPEN_STORES, {}))


def _open_once(
    folder: str, map_size: int, sync: Sync, readonly: bool, locked: bool
) -> lmdb.Environment:
    """Open the files; called under the reader lock, because LMDB takes a slot to read its tree."""
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
        _check_length(env, folder)
        env.reader_check()
    except BaseException:
        env.close()
        raise
    return env


def _check_length(env: lmdb.Environment, folder: str) -> None:
    length = files.length(folder)
    if length >= (env.info()["last_pgno"] + 1) * env.stat()["psize"]:
        return
    with files.open_file(folder, files.DATA, "rb") as file, env.begin() as snapshot:
        if is_truncated(file, snapshot.id()):
            message = f"the data file was cut short, to {length} bytes"
            raise DamagedError(message, path=folder, record=files.DATA)
