"""Each system call of a step of a store with a log fails once, in a process with a shim."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.kv.log import log_file
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from tests.kv.log.ends import end_process
from tests.kv.log.images import Contents, contents
from tests.reliability import shim

if TYPE_CHECKING:
    from collections.abc import Callable

ERRORS = (errno.EIO, errno.ENOSPC, errno.EINTR)
_KINDS = (
    shim.WRITE
    | shim.FLUSH
    | shim.CUT
    | shim.OPEN
    | shim.RENAME
    | shim.MKDIR
    | shim.MAP
    | shim.STAT
    | shim.LOCK
    | shim.REMOVE
    | shim.READ
)
_LOG_SIZE = 1 << 14


def _commit(store: LogStore) -> None:
    store.write(lambda writer: writer.put(b"step", b"done"))


def _large_commit(store: LogStore) -> None:
    """Commit more than the log has room for: it is merged."""
    store.write(lambda writer: writer.put(b"step", bytes(_LOG_SIZE)))


def _rotate(store: LogStore) -> None:
    """Fill the log until it is merged, and begin another epoch in it."""
    for number in range(5):
        store.write(lambda writer, one=number: writer.put(b"step", b"%d" % one + bytes(4000)))


def _merge(store: LogStore) -> None:
    store.merge()


def _back_up(store: LogStore) -> None:
    store.backup(Path(store.folder + ".copy"))


def _compact(store: LogStore) -> None:
    store.compact()


def _read(store: LogStore) -> None:
    contents(store)


def _close(store: LogStore) -> None:
    store.close()


def _recover(store: LogStore) -> None:
    """Open the store after its process was killed."""
    end_process(store)
    LogStore.open(store.folder).close()


def _mend(store: LogStore) -> None:
    """Merge what another process left unfinished, then commit."""
    store._log.counters().unfinished = True
    _commit(store)


STEPS: dict[str, Callable[[LogStore], None]] = {
    step.__name__.strip("_"): step
    for step in (
        _commit,
        _large_commit,
        _rotate,
        _merge,
        _back_up,
        _compact,
        _read,
        _close,
        _recover,
        _mend,
    )
}


def run(folder: str, step: str, error: int) -> dict[str, int]:
    """Let each system call of a step fail in turn; return how often it succeeded and failed."""
    log_file.SIZE = _LOG_SIZE  # type: ignore[misc]
    seen: Counter[str] = Counter()
    nth = hits = 1
    while hits:
        path = Path(folder) / "store"
        control = shim.Shim(path)
        control.disarm()
        store = LogStore.open(path)
        before: Contents = {}
        for number in range(4):
            key, value = b"%d" % number, b"%d" % nth
            store.write(lambda writer, key=key, value=value: writer.put(key, value))
            before[key] = value
        control.arm(_KINDS, nth, error)
        try:
            STEPS[step](store)
            failed = False
        except LmdbSaverError:
            failed = True
        hits, nth = control.hits, nth + 1
        control.disarm()
        if hits:
            seen["failed" if failed else "succeeded"] += 1
        _check(store, before, failed=failed, odd=nth % 2 == 1)
        shutil.rmtree(path)
        shutil.rmtree(Path(f"{path}.copy"), ignore_errors=True)
    return seen


def _check(store: LogStore, before: Contents, *, failed: bool, odd: bool) -> None:
    """Check that nothing is lost, for this process and for the next one."""
    path = store.folder
    if store._closed:
        store = LogStore.open(path)
    found = contents(store)
    step = found.pop(b"step", None)
    assert found == before, (found, before)
    store.write(lambda writer: writer.put(b"after", b"the fault"))
    expected = {**before, b"after": b"the fault"}
    if step is not None:
        expected[b"step"] = step
    assert contents(store) == expected
    if odd:
        end_process(store)
    else:
        store.close()
    readonly = LogStore.open(path, readonly=True)
    assert contents(readonly) == expected
    readonly.close()
    store = LogStore.open(path)
    assert contents(store) == expected
    store.close()
    assert {one.name for one in Path(path).iterdir()} == {"data.mdb", "lock.mdb"}
    copy = Path(f"{path}.copy")
    if not failed and copy.exists():
        with_copy = LogStore.open(copy)
        assert contents(with_copy) == before
        with_copy.close()
    with suppress(FileNotFoundError):
        assert failed or not (copy / "log.mdb").exists()
