"""Connections to the server, each with one trip at a time.

A trip is one message to the server and its answer. All statements of a trip are sent together.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolClosed, PoolTimeout

from langgraph.checkpoint.lmdb.errors import StoreBusyError, StoreClosedError, UsageError
from langgraph.checkpoint.lmdb.kv.postgres import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

Statement: TypeAlias = "tuple[str, Sequence[object]]"
"""SQL with its parameters."""
Rows: TypeAlias = "list[Sequence[Any]]"

OLDEST_SERVER = 130000
"""Number of the oldest version of PostgreSQL that is supported."""
_PREPARED_AFTER: Final = 3
"""Number of times that a statement is executed before it is prepared."""
_inherited: list[object] = []
"""Connections of a parent process. They must not be collected, which would end its sessions."""


class Link:
    """A connection that this thread uses.

    Attributes:
        in_transaction: True if a transaction is open.

    Args:
        connection: The connection.
        prepares: Prepare the statements that are used often.
    """

    __slots__ = ("_ending", "_prepares", "connection", "in_transaction")

    def __init__(self, connection: Any, prepares: bool) -> None:
        self.connection = connection
        self._prepares = prepares
        self.in_transaction = False
        self._ending: Any = None
        """Pipeline with the end of the last transaction, whose answer was not read yet."""

    def run(self, statements: Sequence[Statement]) -> list[Rows]:
        """Run statements in one trip; return the rows of each.

        Raises:
            ConflictError: Another transaction changed what this one read.
            ConnectionLostError: The connection ended.
            LmdbSaverError: The server refused a statement.
        """
        pipeline, self._ending = self._ending, None
        try:
            if pipeline is None and len(statements) == 1:
                cursors = [self._execute(*statements[0])]
            else:
                if pipeline is None:
                    pipeline = self.connection.pipeline()
                    pipeline.__enter__()
                try:
                    cursors = [self._execute(*statement) for statement in statements]
                finally:
                    pipeline.__exit__(None, None, None)
            return [cursor.fetchall() if cursor.description else [] for cursor in cursors]
        except psycopg.Error as error:
            raise errors.raised(error) from error

    def _execute(self, sql: str, parameters: Sequence[object]) -> Any:
        prepare = None if self._prepares else False  # None: as the connection does
        return self.connection.cursor(binary=True).execute(sql, parameters, prepare=prepare)

    def send(self, statement: str) -> None:
        """Send a statement, and read its answer with the next trip."""
        try:
            pipeline = self.connection.pipeline()
            pipeline.__enter__()
            self._ending = pipeline
            self._execute(statement, ())
        except psycopg.Error as error:
            raise errors.raised(error) from error

    def close(self) -> None:
        """Close the connection, and end its transaction."""
        self._ending = None
        with suppress(psycopg.Error, OSError):
            self.connection.close()


class Connections(ABC):
    """The connections of a store."""

    limit: int
    """Number of connections at most."""
    waits_for_end: bool
    """True: read the answer to the end of a transaction before the connection is given back."""

    @abstractmethod
    def take(self) -> Link:
        """Return a connection for this thread.

        Raises:
            DatabaseUnavailableError: The server cannot be reached.
            StoreBusyError: All connections are in use.
            StoreClosedError: The store was closed.
        """

    @abstractmethod
    def give_back(self, link: Link) -> None:
        """Give back a connection without an open transaction."""

    @abstractmethod
    def discard(self, link: Link) -> None:
        """Close a connection that was taken."""

    @abstractmethod
    def close(self) -> None:
        """Close what `take` opened."""

    @abstractmethod
    def renew(self) -> None:
        """Begin again without connections, in a forked child."""


class OwnConnections(Connections):
    """Connections that are opened when they are needed, and kept.

    A pool of psycopg_pool would have to read the answer to the end of each transaction before it
    gives the connection to another thread: one more trip for each read.

    Args:
        conninfo: The connection string.
        limit: Connections at most.
        timeout: Seconds to wait for the server, or for a free connection.
        prepares: Prepare the statements that are used often.
    """

    waits_for_end = False

    def __init__(
        self, conninfo: str, limit: int, timeout: float, *, prepares: bool = False
    ) -> None:
        self._prepares = prepares
        self._conninfo = checked_conninfo(conninfo)
        self.limit = limit
        self._timeout = timeout
        self._closed = False
        self.renew()

    def renew(self) -> None:
        _inherited.append(getattr(self, "_idle", None))
        self._free = threading.BoundedSemaphore(self.limit)
        self._idle: deque[Link] = deque()

    def take(self) -> Link:
        if not self._free.acquire(timeout=self._timeout):
            raise StoreBusyError(
                f"all {self.limit} connections are in use",
                advice="Pass a greater max_connections, or call again.",
            )
        try:
            self._check_open()
            with suppress(IndexError):
                return self._idle.pop()
            return Link(self._connect(), self._prepares)
        except BaseException:
            self._free.release()
            raise

    def give_back(self, link: Link) -> None:
        self._idle.append(link)
        self._free.release()
        if self._closed:
            self._close_idle()

    def discard(self, link: Link) -> None:
        try:
            link.close()
        finally:
            self._free.release()

    def close(self) -> None:
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError("the store is closed")

    def _connect(self) -> Any:
        options: dict[str, Any] = {}
        if "connect_timeout" not in conninfo_to_dict(self._conninfo):
            options["connect_timeout"] = max(2, int(self._timeout))
        if "application_name" not in conninfo_to_dict(self._conninfo):
            options["application_name"] = "langgraph-lmdb"
        try:
            connection = psycopg.connect(
                self._conninfo,
                autocommit=True,
                prepare_threshold=_PREPARED_AFTER if self._prepares else None,
                **options,
            )
        except psycopg.Error as error:
            raise errors.unavailable(errors.first_line(error)) from error
        check_server(connection)
        return connection


class PoolConnections(Connections):
    """Connections of a pool that the caller opens and closes.

    Args:
        pool: The pool, a `psycopg_pool.ConnectionPool`.
        prepares: Prepare statements as its connections do.
    """

    waits_for_end = True

    def __init__(self, pool: Any, *, prepares: bool = False) -> None:
        self._pool = pool
        self._prepares = prepares
        self._closed = False
        self.limit = pool.max_size

    def take(self) -> Link:
        if self._closed:
            raise StoreClosedError("the store is closed")
        try:
            connection = self._pool.getconn()
        except PoolClosed as error:
            raise StoreClosedError("the pool is closed") from error
        except PoolTimeout as error:
            raise StoreBusyError(
                "the pool gave no connection in time", advice="Call again."
            ) from error
        except psycopg.Error as error:
            raise errors.unavailable(errors.first_line(error)) from error
        try:
            check_server(connection)
            if not connection.autocommit:
                connection.autocommit = True
        except BaseException:
            self._pool.putconn(connection)
            raise
        return Link(connection, self._prepares)

    def give_back(self, link: Link) -> None:
        self._pool.putconn(link.connection)

    def discard(self, link: Link) -> None:
        link.close()
        self._pool.putconn(link.connection)

    def close(self) -> None:
        self._closed = True

    def renew(self) -> None:
        pass


def checked_conninfo(conninfo: str) -> str:
    """Return a connection string.

    Raises:
        UsageError: It cannot be parsed.
    """
    try:
        conninfo_to_dict(conninfo)
    except psycopg.Error:  # its text may hold the password
        raise UsageError("conninfo must be a connection string of PostgreSQL") from None
    return conninfo


def check_server(connection: Any) -> None:
    """Raise UsageError if the server is too old."""
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        connection.close()
        raise UsageError(
            f"the server must be PostgreSQL {OLDEST_SERVER // 10000} or later, "
            f"got {version // 10000}"
        )
