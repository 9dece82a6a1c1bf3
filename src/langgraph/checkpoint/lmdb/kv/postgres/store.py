"""The store on PostgreSQL: the tables of one schema, for any number of processes and machines."""

from __future__ import annotations

import random
import secrets
import time
from collections import deque
from contextlib import contextmanager, nullcontext, suppress
from threading import get_ident
from typing import TYPE_CHECKING, Final, TypeVar

from langgraph.checkpoint.lmdb.errors import (
    DatabaseUnavailableError,
    LmdbSaverError,
    ReadOnlyError,
    StoreBusyError,
    StoreClosedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
from langgraph.checkpoint.lmdb.kv.postgres import errors
from langgraph.checkpoint.lmdb.kv.postgres import statements as sql
from langgraph.checkpoint.lmdb.kv.postgres.cached_reader import CachedReader
from langgraph.checkpoint.lmdb.kv.postgres.errors import ConflictError, ConnectionLostError
from langgraph.checkpoint.lmdb.kv.postgres.reader import PostgresReader
from langgraph.checkpoint.lmdb.kv.postgres.unit_cache import UnitCache
from langgraph.checkpoint.lmdb.kv.postgres.writer import PostgresWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from contextlib import AbstractContextManager

    from langgraph.checkpoint.lmdb.kv.base import Gather, Reader, Writer
    from langgraph.checkpoint.lmdb.kv.postgres.connections import Connections
    from langgraph.checkpoint.lmdb.kv.postgres.layout import Layout
    from langgraph.checkpoint.lmdb.kv.postgres.link import Link, Rows, Statement

T = TypeVar("T")

_MIGRATIONS: Final = 6
"""Attempts to create the tables, while other processes may do the same."""
_LONGEST_PAUSE: Final = 0.05
"""Seconds."""


class Lane:
    """A row in which transactions, one after another, record that they were committed.

    Attributes:
        id: Its number.
        number: Number of its last commit.
        is_committing: True while the answer to a commit is not known.
    """

    __slots__ = ("id", "is_committing", "number")

    def __init__(self) -> None:
        self.id = secrets.randbits(62)
        self.number = 0
        self.is_committing = False


class PostgresStore(KeyValueStore):
    """A store in one schema of a database. Any number of processes may write to it.

    Invariants:
        - Every key belongs to a unit: to one thread, or to the store itself. A commit raises the
          version of each unit that it changes, if the version is still the one that was read. So
          what a transaction read is what the store has when the transaction commits.
        - A transaction that meets a changed version runs again, on what the store has then.
        - An error of a transaction that read cached records is raised only if it comes again
          without the cache.
        - If the answer to a commit is lost, the row of the commit's lane tells what happened.

    Args:
        connections: The connections.
        schema: The schema. Its tables are made if they are missing.
        layout: The tables.
        timeout: Seconds to try again if the server is away, or if other transactions are first.
        readonly: Create and write nothing.

    Raises:
        DatabaseUnavailableError: The server cannot be reached.
        UsageError: The connection has no right to make the tables, or `readonly` and the tables are
            missing.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_lanes",
        "_moments",
        "_numbers",
        "_owners",
        "_timeout",
        "cache",
        "connections",
        "layout",
        "readonly",
        "statements",
    )

    def __init__(
        self,
        connections: Connections,
        schema: str,
        layout: Layout,
        *,
        timeout: float,
        readonly: bool = False,
    ) -> None:
        self.readonly = readonly
        self.connections = connections
        self.layout = layout
        self.statements = sql.Statements(schema, layout)
        self._timeout = timeout
        self._closed = False
        self.renew()
        try:
            connections.give_back(connections.take())  # if the server is away, raise now
            self._create_tables()
        except BaseException:
            connections.close()
            raise
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Begin again in a forked child, which shares no connection with its parent."""
        self._owners: set[int] = set()
        self._moments: dict[int, PostgresReader] = {}
        """Snapshot of each thread that is in `one_moment`."""
        self.cache = UnitCache()
        self._lanes: deque[Lane] = deque()
        self._numbers: deque[int] = deque()
        self.connections.renew()

    @property
    def lanes(self) -> int:
        return self.connections.limit

    @property
    def is_remote(self) -> bool:
        return True

    @contextmanager
    def one_moment(self, rows: int = 1, before: str | None = None) -> Iterator[Gather]:
        me = get_ident()
        with PostgresReader(self, self.layout.tails(rows, before)) as reader:
            self._moments[me] = reader
            try:
                yield reader.gather
            finally:
                del self._moments[me]

    def read(self) -> AbstractContextManager[PostgresReader]:
        moment = self._moments.get(get_ident())
        return PostgresReader(self) if moment is None else nullcontext(moment)

    def view(self, apply: Callable[[Reader], T]) -> T:
        deadline = time.monotonic() + self._timeout
        while get_ident() not in self._moments and time.monotonic() <= deadline:
            with suppress(ConflictError), CachedReader(self) as cached:
                return apply(cached)
        with self.read() as reader:
            return apply(reader)

    def write(self, apply: Callable[[Writer], T]) -> T:
        if self.readonly:
            raise ReadOnlyError("the store was opened for reading")
        self.check_no_transaction()
        deadline = time.monotonic() + self._timeout
        lane = self._take_lane()
        use_cache = True
        pause = 0.001
        while True:
            writer = PostgresWriter(self, use_cache=use_cache)
            try:
                with writer:
                    result = apply(writer)
                    writer.commit(lane)
            except ConflictError as conflict:
                lane = Lane() if lane.is_committing and not use_cache else lane
                if time.monotonic() > deadline:
                    raise StoreBusyError(
                        "other writers changed the thread again and again", advice="Call again."
                    ) from conflict
                if not use_cache:
                    time.sleep(random.uniform(0, pause))  # noqa: S311 - only spreads retries
                    pause = min(pause * 2, _LONGEST_PAUSE)
            except ConnectionLostError as lost:
                if lane.is_committing and self._has_committed(lane, lost, deadline):
                    self._lanes.append(Lane())
                    return result
                lane = Lane()
                if time.monotonic() > deadline:
                    raise errors.unavailable(lost) from lost
            except Exception:
                if not writer.used_cache:
                    self._lanes.append(lane)
                    raise
            else:
                self._lanes.append(lane)
                return result
            lane.is_committing = False
            use_cache = False

    def _take_lane(self) -> Lane:
        with suppress(IndexError):
            return self._lanes.pop()
        return Lane()

    def _has_committed(self, lane: Lane, lost: ConnectionLostError, deadline: float) -> bool:
        """Return whether the last commit of a lane, whose answer was lost, has happened.

        If it has not, it cannot happen later either.

        Raises:
            DatabaseUnavailableError: The server cannot be reached.
        """
        try:
            rows = self._run([self.statements.prevent_commit(lane.id, lane.number + 1)], deadline)
        except LmdbSaverError as error:
            raise DatabaseUnavailableError(
                f"the connection was lost during a commit ({lost}), and the server cannot be "
                "reached, so that it is not known whether the change was stored",
                advice="Read the thread when the server is back.",
            ) from error
        return not rows[0]

    def _run(self, batch: list[Statement], deadline: float) -> list[Rows]:
        """Run statements outside of a transaction; repeat them if the connection is lost."""
        link = self.take(deadline)
        while True:
            try:
                found = link.run(batch)
            except ConnectionLostError:
                link = self.reconnect(link, deadline)
                continue
            except BaseException:
                self.connections.discard(link)
                raise
            self.connections.give_back(link)
            return found

    def reconnect(self, link: Link, deadline: float | None = None) -> Link:
        """Return another connection in place of a lost one, as `take` does.

        It may lead to a server that lacks the last commits. There, other changes may get the
        versions that the cache has.
        """
        self.connections.discard(link)
        self.cache.clear()
        return self.take(deadline)

    def take(self, deadline: float | None = None) -> Link:
        """Return a connection for this thread; try again if the server is away.

        Raises:
            DatabaseUnavailableError: The server cannot be reached before the deadline.
            StoreBusyError: All connections are in use.
            StoreClosedError: The store was closed.
        """
        deadline = time.monotonic() + self._timeout if deadline is None else deadline
        pause = 0.01
        while True:
            try:
                return self.connections.take()
            except DatabaseUnavailableError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 1.0)

    def check_no_transaction(self) -> None:
        if get_ident() in self._owners:
            raise UsageError("this thread already has a transaction of the store open")

    def enter(self) -> None:
        """Begin a transaction of this thread."""
        self.check_no_transaction()
        if self._closed:
            raise StoreClosedError("the store is closed")
        self._owners.add(get_ident())

    def leave(self) -> None:
        """End the transaction of this thread."""
        self._owners.discard(get_ident())

    def size(self) -> int:
        if self._closed:
            raise StoreClosedError("the store is closed")
        ((row,),) = self._run([self.statements.size()], time.monotonic() + self._timeout)
        return int(str(row[0]))

    def advisory_locks(self) -> frozenset[int]:
        """Return the keys of all advisory locks that are held in the database."""
        if self._closed:
            raise StoreClosedError("the store is closed")
        (rows,) = self._run([(sql.ADVISORY_LOCKS, ())], time.monotonic() + self._timeout)
        return frozenset(int(str(key)) for (key,) in rows)

    def close(self) -> None:
        if not self._closed and self._lanes and not self.readonly:
            used = [lane.id for lane in self._lanes if lane.number]
            with suppress(LmdbSaverError, ConflictError):
                self._run([self.statements.forget_lanes(used)], 0)
        self._closed = True
        self.connections.close()

    @property
    def identity(self) -> Hashable:
        return id(self)

    def new_number(self, writer: PostgresWriter) -> int:
        """Return a thread number that no other call returns."""
        with suppress(IndexError):
            return self._numbers.popleft()
        first = writer.next_numbers()
        self._numbers.extend(range(first + 1, first + sql.NUMBER_BLOCK))
        return first

    def _create_tables(self) -> None:
        """Create the tables, or bring them to this release's version, in one transaction."""
        deadline = time.monotonic() + self._timeout
        for attempt in range(_MIGRATIONS):
            version = self._tables_version(deadline)
            if version > sql.VERSION:
                raise UsageError(
                    f"the schema has tables of version {version}, this release reads {sql.VERSION}",
                    advice="Upgrade langgraph-lmdb.",
                )
            if version == sql.VERSION:
                return
            if self.readonly:
                raise UsageError(
                    f"the schema {self.statements.schema!r} has no tables of this release",
                    advice="Open it once without readonly=True.",
                )
            batch = [(sql.BEGIN_WRITE, ()), *self.statements.migrations(version), ("COMMIT", ())]
            try:
                self._run(batch, deadline)
            except UsageError:
                raise
            except (ConflictError, LmdbSaverError):  # another process may be first
                if attempt == _MIGRATIONS - 1:
                    raise
                time.sleep(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311 - only spreads retries

    def _tables_version(self, deadline: float) -> int:
        """Return the version of the tables; 0 if the schema is missing."""
        ((row,),) = self._run([self.statements.find_schema()], deadline)
        if not row[0]:
            return 0
        ((row,),) = self._run([self.statements.schema_version()], deadline)
        return int(str(row[0]))
