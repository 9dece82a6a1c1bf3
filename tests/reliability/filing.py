"""Methods that use files, while each of their system calls fails in turn.

Whichever call fails: only an error of the package is raised, no unfinished file remains, no
descriptor is lost, and the store can be used.
"""

from __future__ import annotations

import errno
import io
import shutil
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from langgraph.checkpoint.base import empty_checkpoint

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.cli.main import main as command
from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from tests.reliability import shim

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLS = (
    shim.WRITE
    | shim.FLUSH
    | shim.CUT
    | shim.OPEN
    | shim.RENAME
    | shim.MKDIR
    | shim.MAP
    | shim.STAT
    | shim.PIPE
    | shim.LOCK
)
_ERRORS = (errno.EIO, errno.EMFILE, errno.EACCES, errno.ENOSPC, errno.ENOMEM, errno.EDQUOT)
_FILES = {"data.mdb", "lock.mdb", "log.mdb", "log-lock.mdb"}
_CONFIG = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


class Method(NamedTuple):
    """A method that is tried.

    Attributes:
        call: Calls it on a saver, which is open, with the path of a copy.
        never_fails: Whether it must not raise at all.
        new: Whether it starts without a store, and leaves one.
    """

    call: Callable[[LmdbSaver, Path], object]
    never_fails: bool = False
    new: bool = False


def _run(*arguments: object) -> None:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert command([*map(str, arguments)]) in (0, 1, 2)


def _store(saver: LmdbSaver) -> Path:
    folder = saver._kv.folder
    assert folder is not None
    return Path(folder)


METHODS = {
    "open": Method(lambda saver, _: LmdbSaver(_store(saver)).close()),
    "reopen": Method(lambda saver, _: _reopened(saver)),
    "make": Method(lambda _, copy: LmdbSaver(copy).close(), new=True),
    "read": Method(lambda saver, _: LmdbSaver(_store(saver), readonly=True).close()),
    "backup": Method(lambda saver, copy: saver.backup(copy)),
    "copy_store": Method(lambda saver, copy: saver.copy_store(copy, encryption_key=b"k" * 32)),
    "compact": Method(lambda saver, _: saver.compact()),
    "verify": Method(lambda saver, _: saver.verify()),
    "stats": Method(lambda saver, _: saver.stats()),
    "close": Method(lambda saver, _: saver.close(), never_fails=True),
    "command": Method(lambda saver, _: _run("verify", _store(saver))),
    "recover-pages": Method(
        lambda saver, copy: _run("recover-pages", _store(saver), copy), new=True
    ),
}


def _reopened(saver: LmdbSaver) -> None:
    """As after a fork: closed, and opened at the next use."""
    store = saver._kv
    assert isinstance(store, LogStore)
    env = store._base._env
    assert env is not None
    store._log.close()
    env.lock.exclusive(env.close_until_next_use)
    _put(saver)


def trials(folder: str, method: str, every_error: bool) -> dict[str, int]:
    """In the process with the shim: let each system call of a method fail in turn.

    Args:
        folder: An empty one.
        method: Of `METHODS`.
        every_error: Try each error at each call, instead of one error after another.

    Returns:
        How often the method raised errors of each kind.
    """
    top, seen = Path(folder), Counter[str]()
    control = shim.Shim(top)
    saver = LmdbSaver(top / "store")
    for _ in range(20):
        _put(saver)
    for lasting in (False, True):
        for turn in range(len(_ERRORS) if every_error else 1):
            nth = hits = 1
            while hits:
                error = _ERRORS[(nth + turn) % len(_ERRORS)]
                saver, hits, kind = _trial(control, saver, method, nth, error, lasting)
                if hits:
                    seen[kind] += 1
                nth += 1
    saver.close()
    return seen


def _trial(
    control: shim.Shim, saver: LmdbSaver, method: str, nth: int, error: int, lasting: bool
) -> tuple[LmdbSaver, int, str]:
    """Call a method; return the saver to use next, the failed calls, and the error's kind."""
    tried, store = METHODS[method], _store(saver)
    copy = store.with_name("copy")
    about = f"{method}: call {nth} failed with {errno.errorcode[error]}, lasting: {lasting}"
    handles = _handles()
    kind = "none"
    control.arm(_CALLS, nth, error, lasting=lasting)
    try:
        tried.call(saver, copy)
    except Exception as raised:
        if tried.never_fails or not isinstance(raised, LmdbSaverError):
            raise AssertionError(f"{about}, and raised {raised!r}") from raised
        kind = raised.kind
    finally:
        hits = control.hits
        control.disarm()
    if method == "close":
        saver = LmdbSaver(store)
    _put(saver)
    assert _handles() == handles, about
    assert _names(store) == _FILES, about
    beside = _names(store.parent) - {store.name}
    if tried.new:  # it may stay unfinished, but can be made at the next try
        assert beside <= {"copy"}, about
        if copy.exists():
            assert _names(copy) <= _FILES, about
    else:
        made = method in ("backup", "copy_store") and kind == "none"
        assert beside == ({"copy"} if made else set()), f"{about}: {beside}"
    shutil.rmtree(copy, ignore_errors=True)
    return saver, hits, kind


def _put(saver: LmdbSaver) -> None:
    checkpoint = empty_checkpoint()
    saver.put(_CONFIG, checkpoint, {}, {})
    found = saver.get_tuple(_CONFIG)
    assert found is not None
    assert found.checkpoint["id"] == checkpoint["id"]
    assert saver.get_tuple({"configurable": {"thread_id": "none"}}) is None


def _handles() -> int:
    return len(_names(Path("/proc/self/fd")))


def _names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}
