"""Errors of PostgreSQL, as errors of this package. No message holds a connection string."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langgraph.checkpoint.lmdb.errors import (
    DatabaseUnavailableError,
    LmdbSaverError,
    ReadOnlyError,
    RetryableError,
    StoreBusyError,
    StoreFullError,
    UsageError,
)

if TYPE_CHECKING:
    import psycopg

_CONFLICTS: Final = frozenset(
    (
        "40001",  # serialization failure
        "40P01",  # deadlock
        "22012",  # division by zero: a version differs, see `statements`
        "23505",  # unique violation: another transaction added the row
    )
)
_MISSING_RIGHT: Final = "42501"
_READ_ONLY: Final = "25006"
_FULL: Final = ("53100", "53200", "54000")
_TOO_MANY_CONNECTIONS: Final = "53300"
_CANCELED: Final = ("57014", "55P03")
_NOT_PREPARED: Final = "26000"
"""A prepared statement is missing: the pool reset the connection, so that another one is needed."""
_MISSING: Final = ("42P01", "3F000")


class ConflictError(Exception):
    """Another transaction changed what this one read."""


class ConnectionLostError(Exception):
    """The connection ended, so that the transaction ended with it."""


def raised(error: psycopg.Error) -> Exception:
    """Return the error to raise in place of an error of the driver."""
    return of_state(error.sqlstate or "", first_line(error))


def of_state(state: str, text: str) -> Exception:
    """Return the error to raise for an error of the server.

    Args:
        state: Its SQLSTATE. An empty one: the connection ended.
        text: Its text.
    """
    if state in _CONFLICTS:
        return ConflictError()
    if not state or state.startswith(("08", "57P")) or state == _NOT_PREPARED:
        return ConnectionLostError(text)
    return _translated(state, text)


def _translated(state: str, text: str) -> LmdbSaverError:
    if state == _MISSING_RIGHT:
        return UsageError(
            f"PostgreSQL refused it: {text}",
            advice="Grant the role of the connection the rights that the guide lists.",
        )
    if state == _READ_ONLY:
        return ReadOnlyError(
            f"the server is read-only: {text}",
            advice="Add target_session_attrs=read-write and all hosts to the connection string.",
        )
    if state in _FULL:
        return StoreFullError(f"the server is out of space: {text}")
    if state == _TOO_MANY_CONNECTIONS:
        return StoreBusyError(f"the server has no free connection: {text}", advice="Call again.")
    if state in _CANCELED:
        return StoreBusyError(f"the server ended the statement: {text}", advice="Call again.")
    if state in _MISSING:
        return UsageError(
            f"the tables of the store are missing: {text}", advice="Open the saver again."
        )
    return RetryableError(f"PostgreSQL failed: {text}")


def unavailable(reason: object) -> DatabaseUnavailableError:
    """Return the error for a server that cannot be reached."""
    return DatabaseUnavailableError(f"PostgreSQL cannot be reached: {reason}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return str(error).strip().partition("\n")[0]
