"""A new Python process with `shim.c` preloaded, and the control of the shim in that process."""

from __future__ import annotations

import ctypes
import errno
import functools
import importlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.reliability.outcome import UnavailableError

WRITE, FLUSH, CUT, OPEN, RENAME, MKDIR, MAP, MARK, STAT, PIPE, LOCK, REMOVE, READ = (
    1 << n for n in range(13)
)
DATA, LOG, NEW_LOG, FOLDER, COUNTERS = range(2, 7)
WHOLE_WRITE = 1 << 40
_CALL = struct.Struct("=HBBi qq")
_SOURCE = Path(__file__).parent / "shim.c"
_ROOT = Path(__file__).parents[2]


class Call(NamedTuple):
    """A system call on a file of the store, or a mark between calls.

    Attributes:
        kind: WRITE, FLUSH, CUT, RENAME, REMOVE or MARK.
        durable: Whether the write is on the disk when it returns.
        error: The errno that the caller got, or 0.
        offset: Offset of a write, or the new length of a truncated file.
        data: Bytes of a write, or the text of a mark.
        file: The file: DATA, LOG, NEW_LOG before its rename, FOLDER or COUNTERS.
    """

    kind: int
    durable: bool
    error: int
    offset: int
    data: bytes
    file: int = DATA


@functools.cache
def library() -> Path:
    """Compile the shim and return its path.

    Raises:
        UnavailableError: The machine has no C compiler, or cannot preload libraries.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        raise UnavailableError("the machine has no C compiler for the shim")
    path = Path(_folder().name) / "shim.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(path), str(_SOURCE), "-lpthread"]
    command.append("-ldl")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"the shim cannot be compiled here: {done.stderr.strip()[-200:]}")
    return path


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def in_process(function: str, *, under: tuple[str, ...] = (), **arguments: Any) -> Any:
    """Call a function in a new process; return its result, passed as JSON.

    Args:
        function: The function, as `module:name`.
        under: A command that runs the process without the shim. Empty: the shim is preloaded.
        arguments: Arguments of the function, passed as JSON.
    """
    environment = dict(os.environ) if under else {**os.environ, "LD_PRELOAD": str(library())}
    done = subprocess.run(
        [*under, sys.executable, "-m", "tests.reliability.shim", function],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{function} ended with {done.returncode}: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Shim:
    """The control of a preloaded shim: what to record, and which calls fail."""

    def __init__(self, folder: Path, record: Path | None = None) -> None:
        self._c = ctypes.CDLL(None)
        self._c.shim_hits.restype = ctypes.c_int64
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        to = -1 if record is None else os.open(record, flags, 0o600)
        self._c.shim_watch(os.fsencode(folder), to)

    def mark(self, text: str) -> None:
        """Write a mark to the record."""
        self._c.shim_mark(text.encode())

    @property
    def hits(self) -> int:
        """Number of calls that have failed since `arm`."""
        return int(self._c.shim_hits())

    def arm(
        self, kinds: int, nth: int, error: int, *, keep: int = 0, lasting: bool = False
    ) -> None:
        """Let one call fail, or one call and all calls after it.

        Args:
            kinds: Kinds of calls that are counted.
            nth: Number of the first failing call, from 1.
            error: The errno, or 0 for a short write.
            keep: Bytes that a failing write still writes.
            lasting: Whether later calls fail too.
        """
        numbers = (ctypes.c_int64(nth), error, ctypes.c_int64(keep), int(lasting))
        self._c.shim_arm(kinds, *numbers)

    def disarm(self) -> None:
        """Let no call fail."""
        self.arm(0, 0, 0)


def calls(record: Path) -> list[Call]:
    """Return the calls in a record."""
    data, at, found = record.read_bytes(), 0, []
    while at < len(data):
        kind, durable, file, error, offset, length = _CALL.unpack_from(data, at)
        at += _CALL.size
        found.append(Call(kind, bool(durable), error, offset, data[at : at + length], file))
        at += length
    return found


def name_of(error: int, keep: int) -> str:
    """Return the name of an injected fault."""
    what = errno.errorcode[error] if error else "short write"
    if not keep:
        return what
    return f"{what} after {'all' if keep == WHOLE_WRITE else keep} bytes"


def main() -> None:
    """Call the function that the command line names, in the new process."""
    module, _, name = sys.argv[1].partition(":")
    result = getattr(importlib.import_module(module), name)(**json.load(sys.stdin))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
