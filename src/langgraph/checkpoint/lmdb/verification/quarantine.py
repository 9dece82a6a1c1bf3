"""What a repair takes out of a store goes into a file beside it first."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from langgraph.checkpoint.lmdb.errors import IntegrityError, StoreFullError, StoreIOError
from langgraph.checkpoint.lmdb.format import envelope
from langgraph.checkpoint.lmdb.kv.base import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore

T = TypeVar("T")

_DERIVED = frozenset((b"\x00", b"T", b"e", b"m", b"o", b"p", b"r"))
"""Kinds of records that are made from others; only damaged ones are worth keeping."""


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UnsavedError(Exception):
    """The transaction would lose records that are not in the file yet."""

    def __init__(self, rows: list[tuple[bytes, bytes]]) -> None:
        super().__init__()
        self.rows = rows


class Quarantine:
    """A file of records, made when the first comes: `quarantine-<n>.jsonl`, for its owner only.

    A line is a JSON object with `key` and `value` as hexadecimal digits, both as they were in the
    store's files.

    Args:
        folder: Where to make it; None keeps nothing, for stores without files.

    Attributes:
        path: The file, once there is one.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._saved: set[bytes] = set()
        self.path: str | None = None

    def run(self, kv: KeyValueStore, apply: Callable[[Writer], T]) -> T:
        """Run a function in a write transaction which loses nothing that is not in the file."""

        def guarded(writer: Writer) -> T:
            guard = Guard(writer, self)
            result = apply(guard)
            if guard.unsaved:
                raise UnsavedError(guard.unsaved)
            return result

        while True:
            try:
                return kv.write(guarded)
            except UnsavedError as error:
                rows = error.rows
            self.save(rows)

    def has(self, row: tuple[bytes, bytes]) -> bool:
        """Whether a record is in the file."""
        return _mark(row) in self._saved

    def save(self, rows: list[tuple[bytes, bytes]]) -> None:
        """Write records, and flush them to the disk.

        Raises:
            StoreFullError: There is no room for them.
            StoreIOError: They cannot be written.
        """
        if self._folder is not None:
            try:
                self._write(rows)
            except OSError as error:
                kind = StoreFullError if error.errno in _FULL else StoreIOError
                raise kind(f"{error} while writing the quarantine", path=self._folder) from error
        self._saved.update(map(_mark, rows))

    def _write(self, rows: list[tuple[bytes, bytes]]) -> None:
        folder = Path(self._folder or "")
        if self.path is None:
            handle, self.path = _new_file(folder)
        else:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            for key, value in rows:
                file.write(json.dumps({"key": key.hex(), "value": value.hex()}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        folder_handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(folder_handle)
        finally:
            os.close(folder_handle)


def _new_file(folder: Path) -> tuple[int, str]:
    number = 1
    while True:
        path = folder / f"quarantine-{number}.jsonl"
        with suppress(FileExistsError):
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), str(path)
        number += 1


def _mark(row: tuple[bytes, bytes]) -> bytes:
    key, value = row
    return blake2b(len(key).to_bytes(2, "big") + key + value, digest_size=16).digest()


class Guard(Writer):
    """A write transaction that remembers which records it would lose.

    Args:
        writer: The transaction.
        quarantine: Where they are to be saved.

    Attributes:
        unsaved: Those that are not.
    """

    __slots__ = ("_quarantine", "_writer", "unsaved")

    def __init__(self, writer: Writer, quarantine: Quarantine) -> None:
        self._writer = writer
        self._quarantine = quarantine
        self.unsaved: list[tuple[bytes, bytes]] = []

    def get(self, key: bytes) -> bytes | None:
        return self._writer.get(key)

    def raw(self, key: bytes) -> tuple[bytes, bytes] | None:
        return self._writer.raw(key)

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._writer.range(start, stop, reverse=reverse)

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        return self._writer.keys(start, stop, reverse=reverse)

    def put(self, key: bytes, value: bytes) -> None:
        if not self._is_readable(key):
            self._keep(key)
        self._writer.put(key, value)

    def delete(self, key: bytes) -> bool:
        if key[:1] not in _DERIVED or not self._is_readable(key):
            self._keep(key)
        return self._writer.delete(key)

    def delete_range(self, start: bytes, stop: bytes) -> int:
        return sum(self.delete(key) for key in list(self._writer.keys(start, stop)))

    def _is_readable(self, key: bytes) -> bool:
        try:
            record = self._writer.get(key)
            if record:
                envelope.check(key, record)
        except IntegrityError:
            return False
        return True

    def _keep(self, key: bytes) -> None:
        row = self._writer.raw(key)
        if row is not None and row[1] and not self._quarantine.has(row):
            self.unsaved.append(row)
