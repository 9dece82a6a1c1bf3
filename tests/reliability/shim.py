"""Preloads `shim.c` into a Python process of its own, and is its remote control there."""

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

WRITE, FLUSH, CUT, OPEN, RENAME, MKDIR, MAP, MARK, STAT, PIPE, LOCK = (1 << n for n in range(11))
ALL_OF_IT = 1 << 40
_CALL = struct.Struct("=BB2xi qq")
_SOURCE = Path(__file__).parent / "shim.c"
_ROOT = Path(__file__).parents[2]


class Call(NamedTuple):
    """A system call on a file of the store, or a mark between them.

    Attributes:
        kind: WRITE, FLUSH, CUT or MARK.
        durable: Whether a write is on disk when it returns.
        error: The errno that the caller got, or 0.
        offset: Where a write begins; the length of a file that was cut.
        data: What was written; the text of a mark.
    """

    kind: int
    durable: bool
    error: int
    offset: int
    data: bytes


@functools.cache
def library() -> Path:
    """The compiled shim.

    Raises:
        UnavailableError: There is no compiler, or no way to preload.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        raise UnavailableError("no C compiler for the shim between LMDB and the system")
    made = Path(_folder().name) / "shim.so"
    command = [
        compiler,
        "-O1",
        "-shared",
        "-fPIC",
        "-o",
        str(made),
        str(_SOURCE),
        "-lpthread",
        "-ldl",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"the shim cannot be compiled here: {done.stderr.strip()[-200:]}")
    return made


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def in_process(function: str, *, under: tuple[str, ...] = (), **arguments: Any) -> Any:
    """Call a function in a new process; what it returned, by JSON.

    Args:
        function: Named as `module:name`.
        under: A command that runs the process, instead of preloading the shim.
        arguments: What JSON can carry.
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
    """In a process with the shim preloaded: says what to record and what is to fail."""

    def __init__(self, folder: Path, record: Path | None = None) -> None:
        self._c = ctypes.CDLL(None)
        self._c.shim_hits.restype = ctypes.c_int64
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        to = -1 if record is None else os.open(record, flags, 0o600)
        self._c.shim_watch(os.fsencode(folder), to)

    def mark(self, text: str) -> None:
        """Put a mark into the record."""
        self._c.shim_mark(text.encode())

    @property
    def hits(self) -> int:
        """How many calls have failed since it was told which."""
        return int(self._c.shim_hits())

    def arm(
        self, kinds: int, nth: int, error: int, *, keep: int = 0, lasting: bool = False
    ) -> None:
        """Let the `nth` call of these kinds fail, from 1; and all after it, if it is `lasting`.

        Args:
            kinds: Which calls are counted.
            nth: The first that fails.
            error: The errno; 0 makes a write a short one.
            keep: Bytes of a failing write that are written all the same.
            lasting: Whether the disk stays as it is.
        """
        numbers = (ctypes.c_int64(nth), error, ctypes.c_int64(keep), int(lasting))
        self._c.shim_arm(kinds, *numbers)

    def disarm(self) -> None:
        """Let every call through."""
        self.arm(0, 0, 0)


def calls(record: Path) -> list[Call]:
    """What was recorded."""
    data, at, found = record.read_bytes(), 0, []
    while at < len(data):
        kind, durable, error, offset, length = _CALL.unpack_from(data, at)
        at += _CALL.size
        found.append(Call(kind, bool(durable), error, offset, data[at : at + length]))
        at += length
    return found


def name_of(error: int, keep: int) -> str:
    """What an injected fault is called."""
    what = errno.errorcode[error] if error else "short write"
    if not keep:
        return what
    return f"{what} after {'all' if keep == ALL_OF_IT else keep} bytes"


def main() -> None:
    """In the process: call what the command line names."""
    module, _, name = sys.argv[1].partition(":")
    result = getattr(importlib.import_module(module), name)(**json.load(sys.stdin))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
