"""A copy of a store that is in use: one snapshot of it, without its free pages.

LMDB writes the copy into a pipe, so that it can be counted, interrupted, and kept out of sight
until it is whole and on the disk. Nothing but the last rename gives it its name.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, BinaryIO, Final

import lmdb

from langgraph.checkpoint.lmdb.errors import InvalidPathError, StoreIOError
from langgraph.checkpoint.lmdb.kv import workers
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.errors import translate_lmdb_error, translate_os_error
from langgraph.checkpoint.lmdb.kv.lmdb.page_format import read_meta_pages

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import Progress
    from langgraph.checkpoint.lmdb.kv.lmdb.environment import Environment

_STEP: Final = 1 << 20  # bytes that the pipe holds, if the system lets it, and are written at once
_UNFINISHED: Final = "unfinished"  # no store has a file of this name


def check_target(path: str | os.PathLike[str], source: str) -> Path:
    """Where a backup goes.

    Raises:
        InvalidPathError: Something is there, or it is inside of the store.
    """
    try:
        target = Path(os.path.abspath(path))  # noqa: PTH100 - a link at its end is something, too
        if os.path.lexists(target):
            advice = "Name a folder that does not exist; a backup never overwrites anything."
            raise InvalidPathError("there is something at the path", path=str(path), advice=advice)
        if target.resolve().is_relative_to(source):
            advice = "Name a folder outside of it."
            message = "the path is inside of the store"
            raise InvalidPathError(message, path=str(path), advice=advice)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, InvalidPathError):
            raise
        raise InvalidPathError(f"not a path for a backup: {error}", path=repr(path)) from error
    return target


def write(env: Environment, target: Path, progress: Progress | None) -> None:
    """Copy an environment, which the caller keeps open, to a folder that is not there yet.

    Args:
        env: The environment.
        target: As `check_target` gave it.
        progress: Told of bytes written, and of all that there are.
    """
    try:
        files.make_folder(target.parent, durable=True)
        made = Path(tempfile.mkdtemp(".part", f".{target.name[:100]}.", target.parent))
        try:
            _fill(env, made / _UNFINISHED, progress)
            (made / _UNFINISHED).rename(made / files.DATA)
            files.flush(made)
            _rename(made, target)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        files.flush(target.parent)
    except OSError as error:
        raise translate_os_error(error, str(target), "making a backup") from error


def _rename(made: Path, target: Path) -> None:
    if os.path.lexists(target):
        message = "something has come to be at the path meanwhile"
        raise InvalidPathError(message, path=str(target), advice="Name another folder.")
    made.rename(target)  # fails on all that came just then, but for an empty folder


def _fill(env: Environment, place: Path, progress: Progress | None) -> None:
    failures: list[lmdb.Error] = []
    pipe_out, pipe_in = os.pipe()

    def copy() -> None:
        try:
            env.opened().copyfd(pipe_in, compact=True)
        except lmdb.Error as error:
            failures.append(error)
        finally:
            os.close(pipe_in)

    copying = Thread(target=copy, name="lmdb-saver-backup")
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(pipe_out, "rb") as pipe:
            with suppress(OSError, AttributeError):  # a smaller pipe does, too
                fcntl.fcntl(pipe_out, fcntl.F_SETPIPE_SZ, _STEP)

            def begin() -> None:
                workers.start(copying)
                pipe.peek(1)  # comes when LMDB has its snapshot

            env.peers.take_slot(begin)
            done, total = _pour(pipe, handle, progress)
        copying.join()
        if failures:
            raise translate_lmdb_error(failures[0], env.folder, "making a backup") from failures[0]
        if done != total:
            raise StoreIOError(f"the backup has {done} bytes instead of {total}", path=env.folder)
        os.fsync(handle)
    finally:
        os.close(handle)
        if copying.ident is None:
            os.close(pipe_in)
        else:  # the pipe is closed: LMDB stops at its next write
            copying.join()


def _pour(pipe: BinaryIO, handle: int, progress: Progress | None) -> tuple[int, int]:
    """Write all that comes out of a pipe; how much it was, and how much it says it is."""
    done = total = 0
    while step := pipe.read(_STEP):
        if not done:
            total = _total(step)
        rest = memoryview(step)
        while rest:
            rest = rest[os.write(handle, rest) :]
        done += len(step)
        if progress is not None:
            progress(done, total)
    return done, total


def _total(begun: bytes) -> int:
    """Bytes of the whole file, from its first ones."""
    try:
        return max((root.last + 1) * root.page_size for root in read_meta_pages(io.BytesIO(begun)))
    except struct.error:  # LMDB failed at once
        return 0
