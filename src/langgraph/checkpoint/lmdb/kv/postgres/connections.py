"""Connections to the server, which the store opens or a pool of the caller lends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolClosed, PoolTimeout

from langgraph.checkpoint.lmdb.errors import StoreBusyError, StoreClosedError, UsageError
from langgraph.checkpoint.lmdb.kv.postgres import errors
from langgraph.checkpoint.lmdb.kv.postgres.link import Link, Prepared

OLDEST_SERVER = 130000
"""Number of the oldest version of PostgreSQL that is supported."""
_PREPARED_AFTER: Final = 3
"""Number of times that a statement is executed before it is prepared."""
_inherited: list[object] = []
"""Connections of a parent process. They must not be collected, which would end its sessions."""


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
        self._free: SimpleQueue[None] = SimpleQueue()
        """An item for each connection that may be taken."""
        for _ in range(self.limit):
            self._free.put(None)
        self._idle: deque[Link] = deque()

    def take(self) -> Link:
        try:
            self._free.get(timeout=self._timeout)
        except Empty:
            raise StoreBusyError(
                f"all {self.limit} connections are in use",
                advice="Pass a greater max_connections, or call again.",
            ) from None
        try:
            self._check_open()
            with suppress(IndexError):
                return self._idle.pop()
            return Link(self._connect(), Prepared() if self._prepares else None)
        except BaseException:
            self._free.put(None)
            raise

    def give_back(self, link: Link) -> None:
        self._idle.append(link)
        self._free.put(None)
        if self._closed:
            self._close_idle()

    def discard(self, link: Link) -> None:
        try:
            link.close()
        finally:
            self._free.put(None)

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
        self._prepared: WeakKeyDictionary[Any, Prepared] = WeakKeyDictionary()
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
        prepared = self._prepared.setdefault(connection, Prepared()) if self._prepares else None
        return Link(connection, prepared)

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
