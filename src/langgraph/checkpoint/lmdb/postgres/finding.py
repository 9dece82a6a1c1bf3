"""Finding out which stores a database holds, without creating anything."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import psycopg

from langgraph.checkpoint.lmdb.kv.postgres import errors

_FIND: Final = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = 'schema_version'
), to_regclass('checkpoints') IS NOT NULL AND to_regclass('checkpoint_migrations') IS NOT NULL
"""
_CONNECT_SECONDS: Final = 30


class Stores(NamedTuple):
    """The stores of a database."""

    compact: bool
    """True if the schema has a store of CompactPostgresSaver."""
    postgres: bool
    """True if the search path leads to the tables of PostgresSaver."""


def find_stores(conninfo: str, schema: str) -> Stores:
    """Return the stores that a database holds.

    Args:
        conninfo: Connection string, which can be parsed.
        schema: The schema of a CompactPostgresSaver.

    Raises:
        DatabaseUnavailableError: The server cannot be reached.
    """
    wait: dict[str, Any] = (
        {} if "connect_timeout" in conninfo else {"connect_timeout": _CONNECT_SECONDS}
    )
    try:
        connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None, **wait)
    except psycopg.Error as error:
        raise errors.unavailable(errors.first_line(error)) from error
    try:
        found = connection.execute(_FIND, (schema,)).fetchone()
    except psycopg.Error as error:
        raise errors.unavailable(errors.first_line(error)) from error
    finally:
        connection.close()
    return Stores(*(found or (False, False)))
