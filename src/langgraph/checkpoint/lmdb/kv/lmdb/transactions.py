"""Read and write transactions of an `LmdbStore`."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import lmdb

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer, check_key
from langgraph.checkpoint.lmdb.kv.lmdb.errors import LMDB_FAILURES, translate_lmdb_error

if TYPE_CHECKING:
    from typing_extensions import Self

    from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore


class _FinishedTransaction:
    """A placeholder for a closed transaction."""

    def __getattr__(self, name: str) -> NoReturn:
        raise UsageError("the transaction is closed", advice="Read within the `with` block.")


_FINISHED: Any = _FinishedTransaction()


class LmdbReader(Reader):
    """A snapshot of the store."""

    __slots__ = ("_changes", "_env", "_owner", "_store", "_txn")

    _writes: ClassVar = False

    def __init__(self, store: LmdbStore) -> None:
        self._store = store
        self._owner: int | None = None
        self._txn = _FINISHED
        self._changes = 0

    def __enter__(self) -> Self:
        self._env = self._store._environment()
        self._owner = self._env.lock.check_not_held()
        self._txn = self._env.begin(self._owner, write=self._writes)
        return self

    def __del__(self) -> None:
        # An interrupt can keep a `with` block from being entered or left in full, or this
        # object from being made.
        if getattr(self, "_owner", None) is not None:
            self.__exit__(None, None, None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        transaction, self._txn = self._txn, _FINISHED
        try:
            if transaction is _FINISHED:
                pass
            elif self._writes:
                self._env.abort(transaction)
            else:
                with self._env.peers.ending():
                    self._env.abort(transaction)
                    del transaction  # with the last reference its slot is free
                    self._env.peers.keep_slot()
        finally:
            transaction = _FINISHED  # also after an interrupt
            if self._owner is not None:
                self._env.end(self._owner, write=self._writes)
                self._owner = None

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._txn.get(key)
        except LMDB_FAILURES as error:
            raise self._failed(error, key) from error
        if value is None:
            check_key(key)
        return value

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._scan(start, stop, reverse, values=True)

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        return self._scan(start, stop, reverse, values=False)

    def first_key(self, start: bytes, stop: bytes, *, reverse: bool = False) -> bytes | None:
        try:
            cursor = self._txn.cursor()
            if not _seek(cursor, start, stop, reverse):
                return None
            key: bytes = cursor.key()
        except LMDB_FAILURES as error:
            raise self._failed(error, start) from error
        return key if start <= key < stop else None

    def _scan(self, start: bytes, stop: bytes, reverse: bool, *, values: bool) -> Iterator[Any]:
        """Yield the keys of a range, each with its value or alone."""
        try:
            cursor = self._txn.cursor()
            step = cursor.iterprev if reverse else cursor.iternext
            while start < stop and _seek(cursor, start, stop, reverse):
                changes = self._changes
                for item in step(keys=True, values=values):
                    key = item[0] if values else item
                    if key < start or key >= stop:
                        return
                    yield item
                    if self._changes != changes:
                        start, stop = (start, key) if reverse else (key + b"\0", stop)
                        break
                else:
                    return
        except LMDB_FAILURES as error:
            raise self._failed(error, start) from error

    def _failed(self, error: Exception, key: bytes) -> Exception:
        if self._txn is _FINISHED:
            return UsageError("the transaction is closed", advice="Read within the `with` block.")
        if isinstance(error, lmdb.BadValsizeError):
            check_key(key)
        return translate_lmdb_error(error, self._env.folder, "reading")


class LmdbWriter(LmdbReader, Writer):
    """The write transaction.

    Attributes:
        failure: The first error of LMDB, after which it refuses the rest of the transaction.
    """

    __slots__ = ("failure",)

    _writes = True

    def __init__(self, store: LmdbStore) -> None:
        super().__init__(store)
        self.failure: Exception | None = None

    def put(self, key: bytes, value: bytes) -> None:
        self._changes += 1
        try:
            self._txn.put(key, value)
        except LMDB_FAILURES as error:
            raise self._failed(error, key) from error

    def delete(self, key: bytes) -> bool:
        self._changes += 1
        try:
            deleted: bool = self._txn.delete(key)
        except LMDB_FAILURES as error:
            raise self._failed(error, key) from error
        if not deleted:
            check_key(key)
        return deleted

    discard = delete  # type: ignore[assignment]

    def delete_range(self, start: bytes, stop: bytes) -> int:
        self._changes += 1
        count = 0
        try:
            cursor = self._txn.cursor()
            found = start < stop and cursor.set_range(start)
            while found and cursor.key() < stop:
                cursor.delete()  # moves to the next key
                found = bool(cursor.key())
                count += 1
        except LMDB_FAILURES as error:
            raise self._failed(error, start) from error
        return count

    def commit(self) -> None:
        """Commit and flush the changes, or raise and change nothing."""
        try:
            if self.failure is not None:
                raise self.failure
            self._env.commit(self._txn)
        except LMDB_FAILURES as error:
            self.failure = error
            raise translate_lmdb_error(error, self._env.folder, "writing") from error

    def _failed(self, error: Exception, key: bytes) -> Exception:
        if self._txn is not _FINISHED and not isinstance(error, lmdb.BadValsizeError):
            self.failure = self.failure or error
            return translate_lmdb_error(error, self._env.folder, "writing")
        return super()._failed(error, key)


def _seek(cursor: lmdb.Cursor, start: bytes, stop: bytes, reverse: bool) -> bool:
    """Move the cursor to the first key of a range, or behind it; return False if it is missing."""
    if not reverse:
        return bool(cursor.set_range(start))
    return bool(cursor.prev() if cursor.set_range(stop) else cursor.last())
