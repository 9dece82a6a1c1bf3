"""A file beside the store, to which a repair writes records before it removes them."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from langgraph.checkpoint.lmdb.errors import IntegrityError, StoreFullError, StoreIOError
from langgraph.checkpoint.lmdb.format import envelope
from langgraph.checkpoint.lmdb.format.keys import Kind
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer

T = TypeVar("T")

_DERIVED_KINDS = frozenset(
    (
        b"\x00",
        Kind.THREAD_ID,
        Kind.TIME,
        Kind.THREAD_TERM,
        Kind.LAYER,
        Kind.LAYER_USER,
        Kind.ORPHANED,
        Kind.SHARED_REFS,
        Kind.TERM,
    )
)
"""Kinds of records that a repair rebuilds: only damaged ones are worth keeping."""
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UnsavedError(Exception):
    """A transaction that would remove records which are not in the quarantine yet."""

    def __init__(self, rows: list[tuple[bytes, bytes]]) -> None:
        super().__init__()
        self.rows = rows


class Quarantine:
    """A file of removed records, `quarantine-<n>.jsonl`, that only its owner can read.

    Each line is a JSON object with `key` and `value` as hexadecimal digits, both as they were
    stored. The file is created for the first record.

    Args:
        folder: Folder of the file. None keeps no records, for stores without files.

    Attributes:
        path: Path of the file, or None before the first record.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._saved: set[bytes] = set()
        self.path: str | None = None

    def run(self, kv: KeyValueStore, apply: Callable[..., T], *arguments: Any) -> T:
        """Run a function in a write transaction that removes only records in the quarantine.

        If the function removes other records, the transaction is rolled back, the records are
        saved, and the function runs again.

        Args:
            kv: The store.
            apply: Function of the writer and the arguments.
            arguments: Arguments of the function.

        Raises:
            StoreFullError: The disk has no space for the quarantine.
            StoreIOError: The quarantine cannot be written.
        """

        def guarded(writer: Writer) -> T:
            guard = _GuardedWriter(writer, self)
            result = apply(guard, *arguments)
            if guard.unsaved:
                raise UnsavedError(guard.unsaved)
            return result

        while True:
            try:
                return kv.write(guarded)
            except UnsavedError as error:
                rows = error.rows
            self._save(rows)

    def has(self, row: tuple[bytes, bytes]) -> bool:
        """Return True if a record is saved."""
        return _digest(row) in self._saved

    def _save(self, rows: list[tuple[bytes, bytes]]) -> None:
        if self._folder is not None:
            try:
                self._append(Path(self._folder), rows)
            except OSError as error:
                kind = StoreFullError if error.errno in _DISK_FULL else StoreIOError
                raise kind(f"{error} while writing the quarantine", path=self._folder) from error
        self._saved.update(map(_digest, rows))

    def _append(self, folder: Path, rows: list[tuple[bytes, bytes]]) -> None:
        if self.path is None:
            handle, self.path = _create_file(folder)
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


def _create_file(folder: Path) -> tuple[int, str]:
    number = 1
    while True:
        path = folder / f"quarantine-{number}.jsonl"
        with suppress(FileExistsError):
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), str(path)
        number += 1


def _digest(row: tuple[bytes, bytes]) -> bytes:
    key, value = row
    return blake2b(len(key).to_bytes(2, "big") + key + value, digest_size=16).digest()


class _GuardedWriter(Writer):
    """A write transaction that notes the removed records which are not in the quarantine.

    Args:
        writer: The transaction.
        quarantine: The quarantine.

    Attributes:
        unsaved: Removed records that are not in the quarantine.
    """

    __slots__ = ("_quarantine", "_writer", "_written", "unsaved")

    def __init__(self, writer: Writer, quarantine: Quarantine) -> None:
        self._writer = writer
        self._quarantine = quarantine
        self.unsaved: list[tuple[bytes, bytes]] = []
        self._written: set[bytes] = set()

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

    @property
    def many_writers(self) -> bool:  # type: ignore[override]
        return self._writer.many_writers

    def now(self) -> int | None:
        return self._writer.now()

    def new_number(self) -> int:
        return self._writer.new_number()

    def put(self, key: bytes, value: bytes) -> None:
        if not self._is_readable(key):
            self._note(key)
        self._writer.put(key, value)
        self._written.add(key)

    def delete(self, key: bytes) -> bool:
        if key[:1] not in _DERIVED_KINDS or not self._is_readable(key):
            self._note(key)
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

    def _note(self, key: bytes) -> None:
        if key in self._written:  # the record of the store was noted when it was replaced
            return
        row = self._writer.raw(key)
        if row is not None and row[1] and not self._quarantine.has(row):
            self.unsaved.append(row)
