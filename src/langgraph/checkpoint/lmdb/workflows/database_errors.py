"""The errors of database drivers: those that a database raises while it is away."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from langgraph.checkpoint.lmdb.errors import (
    DatabaseUnavailableError,
    LmdbSaverError,
    StoreClosedError,
)


def is_unavailable(error: BaseException) -> bool:
    """Return True for an error of a database that is away, busy, or has no connection left."""
    return isinstance(error, (sqlite3.OperationalError, *_postgres_errors()))


@contextmanager
def translated() -> Iterator[None]:
    """Raise the errors of drivers as errors of the package, within a `with` block.

    Raises:
        DatabaseUnavailableError: The database is away.
        StoreClosedError: The connection of the saver is closed.
    """
    try:
        yield
    except Exception as error:
        translation = _translation(error)
        if translation is None:
            raise
        raise translation from error


def unavailable(database: str, error: Exception) -> DatabaseUnavailableError:
    """Return the error for a database that failed."""
    return DatabaseUnavailableError(f"{database} failed: {first_line(error)}")


def first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return str(error).strip().partition("\n")[0]


def _postgres_errors() -> tuple[type[Exception], ...]:
    """Return the errors of psycopg, if it is imported."""
    psycopg = sys.modules.get("psycopg")
    return () if psycopg is None else (psycopg.OperationalError, psycopg.InterfaceError)


def _translation(error: Exception) -> LmdbSaverError | None:
    if isinstance(error, _postgres_errors()):
        return unavailable("PostgreSQL", error)
    if isinstance(error, sqlite3.OperationalError):
        return unavailable("SQLite", error)
    is_closed = isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error)
    return StoreClosedError("the connection of the saver is closed") if is_closed else None
