"""Images of a store with a log, as failures of the power may leave them.

The base is a store in memory, whose commits are atomic and durable, as in LMDB. The log
is a file of a few sectors. A sector that was written since the last flush is old or new in an
image.
"""

from __future__ import annotations

import errno
import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.errors import StoreIOError
from langgraph.checkpoint.lmdb.kv import MemoryStore
from langgraph.checkpoint.lmdb.kv.log import counters, log_file
from langgraph.checkpoint.lmdb.kv.log.log_file import LogFile
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from tests.kv.log.ends import end_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from langgraph.checkpoint.lmdb.kv import KeyValueStore, Writer

SECTOR = 512
SECTORS = 12
_OFFSETS = range(0, SECTORS * SECTOR, SECTOR)
_ERRORS = (errno.EIO, errno.ENOSPC, errno.EINTR)
Contents = dict[bytes, bytes]


class Base(MemoryStore):
    """A store in memory that has a folder, and can be opened again."""

    __slots__ = ("_folder", "doubtful", "fails", "on_commit")

    def __init__(self, folder: Path, contents: Contents | None = None) -> None:
        super().__init__()
        self._folder = str(folder)
        self.on_commit: Callable[[], object] = bool
        self.fails: Callable[[], bool] = bool
        self.doubtful: Contents | None = None
        """What the disk may hold instead, after a commit that failed."""
        if contents:
            super().write(lambda writer: [writer.put(*item) for item in contents.items()])

    @property
    def folder(self) -> str:
        return self._folder

    def write(self, apply: Callable[[Writer], Any]) -> Any:
        if self.fails():
            before = self.contents()
            super().write(apply)
            self.doubtful = self.contents()
            super().write(lambda writer: _replace(writer, before))
            self.on_commit()
            raise StoreIOError("the disk failed", path=self._folder)
        result = super().write(apply)
        self.doubtful = None
        self.on_commit()
        return result

    def close(self) -> None:
        pass

    def distrust_meta_pages(self) -> None:
        pass

    def contents(self) -> Contents:
        return contents(self)


def _replace(writer: Writer, contents: Contents) -> None:
    writer.delete_range(b"", b"\xff" * 512)
    for item in contents.items():
        writer.put(*item)


def contents(store: KeyValueStore) -> Contents:
    """Return all records of a store."""
    with store.read() as reader:
        return dict(reader.range(b"", b"\xff" * 512))


class Disk:
    """The log as the processes see it and as the disk has it, with images of what may be left.

    Attributes:
        on_change: Function to call between any two steps that change the log or the base.
        fails: Function that tells whether the next call fails.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._folder = folder
        self._cached: list[bytes] = [bytes(SECTOR)] * SECTORS
        self._flushed = [*self._cached]
        self._lost: set[int] = set()
        """Sectors that a failed flush has marked clean: no flush writes them before they change."""
        self.on_change: Callable[[], object] = bool
        self.fails: Callable[[], bool] = bool
        monkeypatch.setattr(log_file, "SIZE", SECTORS * SECTOR)
        write, flush = LogFile.write, LogFile.flush

        def recorded_write(file: LogFile, record: bytes, offset: int) -> None:
            if file.folder != str(folder):
                write(file, record, offset)
                return
            fails = self.fails()
            write(file, record[: self._random.randrange(len(record))] if fails else record, offset)
            self._read()
            self.on_change()
            if fails:
                raise OSError(self._random.choice(_ERRORS), "the disk failed")

        def recorded_flush(file: LogFile) -> None:
            flush(file)
            if file.folder == str(folder):
                self._flush(fails=self.fails())
                self.on_change()

        monkeypatch.setattr(LogFile, "write", recorded_write)
        monkeypatch.setattr(LogFile, "flush", recorded_flush)

    def _read(self) -> None:
        data = (self._folder / log_file.NAME).read_bytes()
        before, self._cached = self._cached, [data[at : at + SECTOR] for at in _OFFSETS]
        self._lost -= {at for at in range(SECTORS) if before[at] != self._cached[at]}

    def _flush(self, *, fails: bool) -> None:
        for at in range(SECTORS):
            if self._flushed[at] != self._cached[at] and at not in self._lost:
                if fails:
                    self._lost.add(at)
                else:
                    self._flushed[at] = self._cached[at]
        if fails:
            raise OSError(errno.EIO, "the disk failed")

    def image(self, folder: Path, base: Base) -> Base:
        """Make a folder as the power may leave this one; return its base."""
        folder.mkdir()
        if (self._folder / log_file.NAME).exists():
            pairs = zip(self._flushed, self._cached, strict=True)
            (folder / log_file.NAME).write_bytes(b"".join(map(self._random.choice, pairs)))
        stale = (self._folder / counters.NAME).read_bytes()
        if self._random.random() < 0.5:
            (folder / counters.NAME).write_bytes(self._random.choice((stale, bytes(len(stale)))))
        found = self._random.choice((base.contents(), base.doubtful or base.contents()))
        return Base(folder, found)


def recovered(base: Base, sync: Any = "full") -> tuple[Contents, Contents]:
    """Open an image, and once more after a commit; return the contents before and after it."""
    store = LogStore(base, sync)
    before = contents(store)
    store.write(lambda writer: writer.put(b"after", b"the power came back"))
    again = contents(store)
    end_process(store)
    with closing(LogStore(base, sync)) as store:
        assert contents(store) == again
    return before, again
