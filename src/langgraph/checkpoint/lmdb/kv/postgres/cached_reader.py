"""Reads of a thread that the store has cached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.kv.postgres.errors import ConflictError, ConnectionLostError
from langgraph.checkpoint.lmdb.kv.postgres.plan import Request
from langgraph.checkpoint.lmdb.kv.postgres.reader import PostgresReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from langgraph.checkpoint.lmdb.kv.postgres.known import Known
    from langgraph.checkpoint.lmdb.kv.postgres.link import Rows
    from langgraph.checkpoint.lmdb.kv.postgres.store import PostgresStore


class CachedReader(PostgresReader):
    """A snapshot that answers from the cache if the version of the thread is still the cached one.

    So its first trip reads only that version. It is a transaction of its own. A second trip opens
    the transaction of the snapshot, and compares the version again.

    Raises:
        ConflictError: The thread has changed between the two trips, or the connection has ended.
            Read again.
    """

    __slots__ = ("_unit", "_unit_known", "_version")

    def __init__(self, store: PostgresStore) -> None:
        super().__init__(store)
        self._unit: int | None = None
        """The unit that the cache answers for."""
        self._unit_known = self._known
        self._version = 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._unit is not None and error is None:
            self._store.cache.give_back(self._unit, self._version, self._unit_known)

    def _read_keys(self, wanted: Sequence[bytes]) -> None:
        if self._link is None and len(wanted) == 1 and self._is_in_cache(wanted[0]):
            return
        super()._read_keys(wanted)

    def _is_in_cache(self, name: bytes) -> bool:
        """Return True if the cache knows the thread of a name as the server has it."""
        unit = self._store.cache.named(name)
        cached = None if unit is None else self._store.cache.take(unit)
        if unit is None or cached is None:
            return False
        self._link = self._store.take()
        (versions,) = self._trip([self._statements.select_version_of(name)], alone=True)
        if [(row[0], row[-1]) for row in versions] != [(unit, cached[0])]:
            return False
        self._unit = unit
        self._version, self._unit_known = cached
        return True

    def _run(self, requests: Sequence[Request]) -> None:
        if self._unit is not None and self._link is not None and not self._link.in_transaction:
            requests = [
                Request([self._statements.select_versions([self._unit])], self._compare),
                *requests,
            ]
        super()._run(requests)

    def _compare(self, found: Sequence[Rows]) -> None:
        if [row[-1] for row in found[0]] != [self._version]:
            self._unit = None
            raise ConflictError

    def _lost(self, lost: ConnectionLostError) -> Exception:  # noqa: ARG002
        return ConflictError()

    def _home(self, key: bytes) -> Known:
        if self._unit is None:
            return self._known
        unit = self._layout.unit(key)
        if unit is None:
            unit = self._store.cache.named(key)
        return self._unit_known if unit == self._unit else self._known

    def _home_of_range(self, start: bytes, stop: bytes) -> Known:
        if self._unit is not None and self._layout.unit_of_range(start, stop) == self._unit:
            return self._unit_known
        return self._known
