"""Disk errors inside a native library: its writes fail, in this process, without root.

The C library is called through a table of addresses in each native library. A hook replaces the
addresses of the calls that write, so that the library runs its own code for a full or broken disk.
The functions of the module `os` that write fail, too, for savers that use them beside the library.
"""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import os
import sys
import threading
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Arguments after the file descriptor, and the kind of each call that writes.
_CALLS: dict[str, tuple[Any, ...]] = {
    "write": (ctypes.c_void_p, ctypes.c_size_t),
    "pwrite": (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
    "pwrite64": (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
    "writev": (ctypes.c_void_p, ctypes.c_int),
    "pwritev": (ctypes.c_void_p, ctypes.c_int, ctypes.c_int64),
    "fsync": (),
    "fdatasync": (),
}
_FLUSHES = frozenset({"fsync", "fdatasync"})
_OS_CALLS = ("write", "pwrite", "fsync", "fdatasync")
_ALL = mmap.PROT_READ | mmap.PROT_WRITE

_c_library = ctypes.CDLL(None, use_errno=True)


def is_available() -> bool:
    """Return True if `failing_writes` works here: on 64-bit Linux, with pyelftools."""
    is_linux = sys.platform == "linux" and sys.maxsize > 2**32
    return is_linux and importlib.util.find_spec("elftools") is not None


@contextmanager
def failing_writes(library: str, folder: Path, error: int, succeeding: int) -> Iterator[None]:
    """Make the writes of a native library and of `os` to the files of a folder fail.

    Args:
        library: Path of the loaded library, for example `lmdb.cpython.__file__`.
        folder: Folder of the store.
        error: The errno. Flushes fail, too, except with `ENOSPC`.
        succeeding: Number of calls that still succeed.
    """
    disk = _Disk(folder.resolve(), error, succeeding)
    hooks = {name: disk.hook(name) for name in _CALLS}
    replaced: list[tuple[ctypes.c_void_p, int | None]] = []
    try:
        for name, address in _slots(library):
            _c_library.mprotect(
                ctypes.c_void_p(address - address % mmap.PAGESIZE), mmap.PAGESIZE, _ALL
            )
            slot = ctypes.c_void_p.from_address(address)
            replaced.append((slot, slot.value))
            slot.value = ctypes.cast(cast("Any", hooks[name]), ctypes.c_void_p).value
        hooked: dict[str, Any] = {name: disk.python_hook(name) for name in _OS_CALLS}
        with patch.multiple(os, **hooked):
            yield
    finally:
        for slot, before in replaced:
            slot.value = before


class _Disk:
    """A disk that fails after some calls."""

    def __init__(self, folder: Path, error: int, succeeding: int) -> None:
        self._folder = f"{folder}{os.sep}"
        self._error = error
        self._succeeding = succeeding
        self._lock = threading.Lock()

    def hook(self, name: str) -> Callable[..., int]:
        """Return a C function that takes the place of a function of the C library."""
        result = ctypes.c_int if name in _FLUSHES else ctypes.c_ssize_t
        real = getattr(_c_library, name)
        real.restype, real.argtypes = result, (ctypes.c_int, *_CALLS[name])

        def call(descriptor: int, *arguments: Any) -> int:
            if self._fails(name, descriptor):
                ctypes.set_errno(self._error)
                return -1
            answer: int = real(descriptor, *arguments)
            return answer

        return ctypes.CFUNCTYPE(result, ctypes.c_int, *_CALLS[name], use_errno=True)(call)

    def python_hook(self, name: str) -> Callable[..., Any]:
        """Return a function that takes the place of a function of `os`."""
        real = getattr(os, name)

        def call(descriptor: int, *arguments: Any) -> Any:
            if self._fails(name, descriptor):
                raise OSError(self._error, os.strerror(self._error))
            return real(descriptor, *arguments)

        return call

    def _fails(self, name: str, descriptor: int) -> bool:
        if name in _FLUSHES and self._error == ENOSPC:
            return False
        file = Path(f"/proc/self/fd/{descriptor}").readlink()
        if not str(file).startswith(self._folder):
            return False
        with self._lock:
            self._succeeding -= 1
            return self._succeeding < 0


def _slots(library: str) -> Iterator[tuple[str, int]]:
    """Yield the calls that a loaded library uses, and the addresses of their table entries."""
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415
    from elftools.elf.relocation import RelocationSection  # noqa: PLC0415

    base = _base(library)
    with Path(library).open("rb") as file:
        elf = ELFFile(file)
        for section in elf.iter_sections():
            if not isinstance(section, RelocationSection):
                continue
            symbols: Any = elf.get_section(section["sh_link"])
            for relocation in section.iter_relocations():
                name = symbols.get_symbol(relocation["r_info_sym"]).name
                if name in _CALLS:
                    yield name, base + relocation["r_offset"]


def _base(library: str) -> int:
    """Return the address at which a library is loaded."""
    path = os.path.realpath(library)
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(f" {path}"):
            return int(line.partition("-")[0], 16)
    raise ValueError(f"library must be loaded in this process, got {library!r}")
