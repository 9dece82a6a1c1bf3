"""`PostgresLockManager`: advisory locks of a PostgreSQL server, for the processes of many machines.

A held lock is a session lock of one connection, so it ends when the connection ends. The
connection's `application_name` names the holder.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import partial
from typing import Any, Final, NamedTuple

from langgraph.checkpoint.lmdb.advisory_locks import key_of
from langgraph.checkpoint.lmdb.errors import (
    DatabaseUnavailableError,
    LmdbSaverError,
    StoreClosedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.database_errors import first_line, unavailable
from langgraph.checkpoint.lmdb.workflows.locks import LockHolder, Locks

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
    from psycopg_pool import ConnectionPool, PoolTimeout
except ImportError as error:
    raise ImportError(
        "PostgresLockManager needs: pip install 'langgraph-lmdb[postgres]'"
    ) from error


Connection = Any
"""A connection of psycopg."""

_HOLDER: Final = re.compile(r"langgraph-lock (\d+) (\d+) (.*)")
_NAME_BYTES: Final = 63
"""Bytes of an application_name that PostgreSQL keeps."""
_OCCUPIED: Final = 3
"""Connections that hold a transaction open while the test for a pooler runs."""

_TAKE: Final = """
WITH attempt AS (SELECT pg_try_advisory_lock(%(key)s) AS locked)
SELECT locked, pg_backend_pid(),
       CASE WHEN locked THEN set_config('application_name', %(holder)s, false) END
FROM attempt
"""
_GIVE: Final = """
SELECT pg_advisory_unlock(%(key)s), set_config('application_name', 'langgraph-locks', false)
"""
_FIND: Final = """
SELECT activity.application_name
FROM pg_locks AS locks LEFT JOIN pg_stat_activity AS activity USING (pid)
WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1
  AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (locks.classid::bigint << 32 | locks.objid::bigint) = %(key)s
"""


class _Held(NamedTuple):
    """A held lock.

    Attributes:
        pool: The pool of its connection.
        connection: Its connection.
        backend: Id of the server's process for that connection.
    """

    pool: Any
    connection: Connection
    backend: int


class PostgresLockManager(Locks[_Held]):
    """A lock manager on advisory locks of a PostgreSQL database.

    Each held lock keeps one connection. A lock ends with its connection. The server learns of a
    machine that disappeared by its `tcp_keepalives` settings. A forked child does not inherit
    locks, and opens connections of its own.

    Args:
        conninfo: Connection string, as of `psycopg.connect`.
        min_conn: Connections that are kept open.
        max_conn: Connections at most, and so locks at most.
        connection_timeout: Seconds to wait for the server, or for a free connection.

    Raises:
        DatabaseUnavailableError: The server cannot be reached.
        UsageError: An argument is invalid, or the connection leads to a pooler in transaction mode.
    """

    def __init__(
        self,
        conninfo: str,
        min_conn: int = 2,
        max_conn: int = 10,
        connection_timeout: float = 30,
    ) -> None:
        self._min_conn = arguments.count(min_conn, "min_conn", "connections")
        self._max_conn = arguments.count(max_conn, "max_conn", "connections", max(1, min_conn))
        self._timeout = arguments.number(
            connection_timeout, "connection_timeout", "seconds", above=True
        )
        self._conninfo = _checked_conninfo(conninfo)
        super().__init__()
        self._pool: Any = None
        self._closed = False
        try:
            self._refuse_transaction_mode()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release all locks and close the connections."""
        self.cleanup_all_locks()
        with self._mutex:
            pool, self._pool, self._closed = self._pool, None, True
        if pool is not None:
            pool.close()

    def __exit__(self, *error: object) -> None:
        self.close()

    def is_locked(self, name: str) -> bool:
        """Return True if any process holds the lock. Never makes another `acquire` fail."""
        return self._find(name) is not None

    def holder(self, name: str) -> LockHolder | None:
        """Return the process that holds a lock; None if it is free, or the holder is unknown."""
        row = self._find(name)
        match = None if row is None else _HOLDER.fullmatch(row[0] or "")
        if match is None:
            return None
        since = datetime.fromtimestamp(int(match[2]), timezone.utc)
        return LockHolder(match[3], int(match[1]), since)

    def _find(self, name: str) -> Any:
        key = key_of(arguments.text(name, "name"))
        with self._connection() as connection:
            return connection.execute(_FIND, {"key": key}).fetchone()

    def _take(self, name: str) -> _Held | None:
        if len(self.held()) >= self._max_conn:
            raise self._all_used()
        with self._unavailable():
            pool = self._open_pool()
            connection = pool.getconn()
            kept = False
            try:
                parameters = {"key": key_of(name), "holder": _holder_name()}
                kept, backend, _ = connection.execute(_TAKE, parameters).fetchone()
            except BaseException:
                connection.close()  # and with it a lock that it may have
                raise
            finally:
                if not kept:
                    pool.putconn(connection)
        return _Held(pool, connection, backend) if kept else None

    def _give(self, name: str, token: _Held) -> None:
        connection = token.connection
        try:
            connection.execute(_GIVE, {"key": key_of(name)})
        except psycopg.Error:
            connection.close()  # which releases the lock, too
        except BaseException:
            connection.close()
            raise
        finally:
            token.pool.putconn(connection)

    def _is_valid(self, token: _Held) -> bool:
        try:
            row = token.connection.execute("SELECT pg_backend_pid()").fetchone()
        except psycopg.Error:
            return False
        return bool(row[0] == token.backend)

    def _disown(self, tokens: list[_Held]) -> None:
        for token in tokens:
            with suppress(OSError, psycopg.Error):
                # The server sees the parent's end only when no child has its socket.
                os.close(token.connection.fileno())
        # The parent's pool must never be collected here: it would end the parent's sessions.
        _inherited.extend((self._pool, tokens))
        self._pool = None

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Use a connection for a question."""
        with self._unavailable():
            pool = self._open_pool()
            connection = pool.getconn()
            try:
                yield connection
            finally:
                pool.putconn(connection)

    def _open_pool(self) -> Any:
        """Return the pool of this process."""
        with self._mutex:
            if self._closed:
                raise StoreClosedError("the lock manager is closed", advice="Make another one.")
            if self._pool is None:
                self._pool = self._new_pool()
            return self._pool

    def _new_pool(self) -> Any:
        pool = ConnectionPool(
            self._conninfo,
            min_size=self._min_conn,
            max_size=self._max_conn,
            timeout=self._timeout,
            reconnect_timeout=self._timeout,
            kwargs={"autocommit": True, "application_name": "langgraph-locks"},
            configure=_configure,
            open=False,
        )
        try:
            pool.open(wait=True, timeout=self._timeout)
        except BaseException:
            pool.close()
            raise
        return pool

    @contextmanager
    def _unavailable(self) -> Iterator[None]:
        """Raise errors of the server as errors of the package."""
        try:
            yield
        except PoolTimeout as error:
            if len(self.held()) >= self._max_conn:
                raise self._all_used() from error
            message = f"PostgreSQL gave no connection within {self._timeout} s"
            raise DatabaseUnavailableError(message) from error
        except psycopg.OperationalError as error:
            raise unavailable("PostgreSQL", error) from error
        except psycopg.Error as error:
            raise LmdbSaverError(f"PostgreSQL refused a lock: {first_line(error)}") from error

    def _all_used(self) -> DatabaseUnavailableError:
        return DatabaseUnavailableError(
            f"all {self._max_conn} connections hold a lock",
            advice="Pass a greater max_conn, or hold fewer locks at a time.",
        )

    def _refuse_transaction_mode(self) -> None:
        """Raise UsageError if another client can use the session of a connection."""
        with self._connection() as connection:
            session = _backend(connection)
            if session == connection.info.backend_pid:
                return  # a pooler invents the second id
            connect = partial(
                psycopg.connect, self._conninfo, connect_timeout=max(2, int(self._timeout))
            )
            others = []
            try:
                for _ in range(_OCCUPIED):  # each holds a transaction open
                    others.append(connect())
                    if _backend(others[-1]) == session:
                        raise _transaction_mode()
                if _backend(connection) != session:
                    raise _transaction_mode()
            finally:
                for other in others:
                    other.close()


def _checked_conninfo(conninfo: str) -> str:
    if not isinstance(conninfo, str):
        arguments.refuse("conninfo", "a connection string", conninfo)
    try:
        conninfo_to_dict(conninfo)
    except psycopg.Error:  # its text may hold the password
        raise UsageError("conninfo must be a connection string of PostgreSQL") from None
    return conninfo


def _configure(connection: Connection) -> None:
    if connection.info.server_version >= 140000:
        connection.execute("SET idle_session_timeout = 0")  # a lock may be held for hours


def _backend(connection: Connection) -> int:
    return int(connection.execute("SELECT pg_backend_pid()").fetchone()[0])


def _transaction_mode() -> UsageError:
    return UsageError(
        "the connection leads to a pooler in transaction mode, which cannot keep locks",
        advice="Connect to PostgreSQL directly or to a pooler in session mode, and pass that as "
        "lock_manager=PostgresLockManager(conninfo).",
    )


def _holder_name() -> str:
    text = f"langgraph-lock {os.getpid()} {time.time():.0f} {socket.gethostname()}"
    return text.encode("ascii", "replace")[:_NAME_BYTES].decode()


_inherited: list[object] = []
