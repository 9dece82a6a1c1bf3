"""A copy of a store that is in use: one snapshot, without free pages.

LMDB writes the copy into a pipe, so that its progress is known and it can be interrupted. The last
rename gives the complete copy its name, after it was flushed.
"""

from __future__ import annotations

import fcntl
import io
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import BinaryIO, Final

from langgraph.checkpoint.lmdb.errors import StoreIOError
from langgraph.checkpoint.lmdb.kv import workers
from langgraph.checkpoint.lmdb.kv.base import Progress
from langgraph.checkpoint.lmdb.kv.lmdb import creation, files
from langgraph.checkpoint.lmdb.kv.lmdb.environment import Environment
from langgraph.checkpoint.lmdb.kv.lmdb.errors import LMDB_FAILURES, translate_lmdb_error
from langgraph.checkpoint.lmdb.kv.lmdb.meta_pages import read_meta_pages, used_length

_STEP: Final = 1 << 20  # bytes of the pipe, if the system allows, and of one write


def write(env: Environment, target: Path, progress: Progress | None) -> None:
    """Copy an environment, which the caller keeps open, to a new folder.

    Args:
        env: The environment.
        target: The folder, from `creation.check_target`.
        progress: Function to call with the bytes written so far and the total bytes.
    """
    with creation.new_folder(target, "making a backup") as made:
        _fill(env, made / creation.UNFINISHED, progress)
        (made / creation.UNFINISHED).rename(made / files.DATA)


def _fill(env: Environment, path: Path, progress: Progress | None) -> None:
    failures: list[Exception] = []

    def copy() -> None:
        try:
            env.opened().copyfd(pipe_in.fileno(), compact=True)
        except LMDB_FAILURES as error:
            failures.append(error)
        finally:
            pipe_in.close()

    copying = Thread(target=copy, name="lmdb-saver-backup")

    def begin() -> None:
        workers.start(copying)
        pipe_out.peek(1)  # returns when LMDB has its snapshot

    with ExitStack() as opened:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        opened.callback(os.close, handle)
        out_of, into = os.pipe()
        pipe_in = opened.enter_context(os.fdopen(into, "wb", buffering=0))
        pipe_out = os.fdopen(out_of, "rb")
        opened.callback(lambda: copying.join() if copying.ident is not None else None)
        opened.enter_context(pipe_out)  # once it is closed, LMDB stops at its next write
        with suppress(OSError, AttributeError):  # a smaller pipe works too
            fcntl.fcntl(out_of, fcntl.F_SETPIPE_SZ, _STEP)
        env.peers.take_slot(begin)
        done, total = _pour(pipe_out, handle, progress)
        copying.join()
        if failures:
            raise translate_lmdb_error(failures[0], env.folder, "making a backup") from failures[0]
        if done != total:
            raise StoreIOError(f"the backup has {done} bytes instead of {total}", path=env.folder)
        os.fsync(handle)


def _pour(pipe: BinaryIO, handle: int, progress: Progress | None) -> tuple[int, int]:
    """Write the contents of a pipe; return the bytes written, and the length that they name."""
    done = total = 0
    while step := pipe.read(_STEP):
        if not done:
            total = used_length(read_meta_pages(io.BytesIO(step)))
        rest = memoryview(step)
        while rest:
            rest = rest[os.write(handle, rest) :]
        done += len(step)
        if progress is not None:
            progress(done, total)
    return done, total
