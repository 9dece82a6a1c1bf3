"""Opening the store in a schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.postgres.layout import CheckpointLayout

try:
    from psycopg.conninfo import make_conninfo
    from psycopg.pq import Conninfo

    from langgraph.checkpoint.lmdb.kv.postgres.connections import OwnConnections, PoolConnections
    from langgraph.checkpoint.lmdb.kv.postgres.store import PostgresStore
except ImportError as error:
    raise ImportError(
        "CompactPostgresSaver needs: pip install 'langgraph-lmdb[postgres]'"
    ) from error

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.encryption.key_source import EncryptionKey
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
    from langgraph.checkpoint.lmdb.kv.postgres.connections import Connections

_MAX_SCHEMA = 63
"""Bytes of a name in PostgreSQL."""


def open_store(
    conninfo_or_pool: Any,
    *,
    schema: object,
    readonly: object = False,
    encryption_key: EncryptionKey | None = None,
    max_connections: object = 10,
    timeout: object = 30.0,
    prepare_statements: object = False,
) -> KeyValueStore:
    """Open the store in a schema, which is created if it does not exist."""
    is_readonly = validation.flag(readonly, "readonly")
    prepares = validation.flag(prepare_statements, "prepare_statements")
    limit = validation.count(max_connections, "max_connections", "connections", 1)
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or not timeout > 0:
        validation.refuse("timeout", "a positive number of seconds", timeout)
    if (
        not isinstance(schema, str)
        or not 0 < len(schema.encode("utf-8", "replace")) <= _MAX_SCHEMA
        or "\x00" in schema
    ):
        validation.refuse("schema", f"a name of 1 to {_MAX_SCHEMA} bytes", schema)
    connections: Connections
    if isinstance(conninfo_or_pool, str):
        connections = OwnConnections(conninfo_or_pool, limit, float(timeout), prepares=prepares)
    elif hasattr(conninfo_or_pool, "getconn") and hasattr(conninfo_or_pool, "putconn"):
        connections = PoolConnections(conninfo_or_pool, prepares=prepares)
    else:
        expected = "a connection string or an open ConnectionPool"
        validation.refuse("conninfo_or_pool", expected, type(conninfo_or_pool).__name__)
    kv = PostgresStore(
        connections, schema, CheckpointLayout(), timeout=float(timeout), readonly=is_readonly
    )
    try:
        return open_encrypted(kv, encryption_key)
    except BaseException:
        kv.close()
        raise


def conninfo_of(conninfo_or_pool: Any) -> str:
    """Return the connection string of a database, with the password if there is one."""
    if isinstance(conninfo_or_pool, str):
        return conninfo_or_pool
    options = getattr(conninfo_or_pool, "kwargs", None) or {}
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    return make_conninfo(
        conninfo_or_pool.conninfo,
        **{name: value for name, value in options.items() if name in known},
    )
