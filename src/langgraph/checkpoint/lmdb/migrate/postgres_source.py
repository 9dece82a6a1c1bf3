"""The tables of PostgresSaver and AsyncPostgresSaver, read through read-only connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import TASKS

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.migrate.models import Key, Record
from langgraph.checkpoint.lmdb.migrate.sql_source import Row, SqlSource

if TYPE_CHECKING:
    import psycopg

_CHECKPOINT = "SELECT parent_checkpoint_id, checkpoint, metadata FROM checkpoints"
_BLOBS = """
SELECT b.channel, b.type, b.blob
FROM checkpoints c
CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
    AND b.channel = v.key AND b.version = v.value
WHERE c.thread_id = %s AND c.checkpoint_ns = %s AND c.checkpoint_id = %s
"""
_COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('checkpoint_writes') AND attnum > 0
"""
_SIZE = """
SELECT sum(pg_total_relation_size(name::regclass))
FROM unnest(array['checkpoints', 'checkpoint_blobs', 'checkpoint_writes']) AS name
"""
_SENDS_BECOME_A_CHANNEL = 4
"""Format of checkpoints from which on pending sends are a channel."""
_FIRST_VERSION = f"{1:032}.{0:016}"


class PostgresSource(SqlSource):
    """A reader of a PostgreSQL database.

    Args:
        conninfo: The connection string.
        serde: The serializer of the values.
    """

    writes_table: ClassVar[str] = "checkpoint_writes"
    value_column: ClassVar[str] = "blob"
    mark: ClassVar[str] = "%s"
    cursor_options: ClassVar[dict[str, Any]] = {"binary": True}
    """Values are not received as hexadecimal text."""

    def __init__(self, conninfo: str, serde: SerializerProtocol) -> None:
        super().__init__(serde)
        self._conninfo = conninfo
        columns = [name for (name,) in self.query(_COLUMNS)]
        if not columns:
            self.close()
            raise UsageError("the database has no tables of PostgresSaver")
        self.has_paths = "task_path" in columns

    @classmethod
    def of_saver(cls, saver: Any) -> PostgresSource:
        """Return the source of a PostgresSaver or an AsyncPostgresSaver."""
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - an extra

        conn = saver.conn
        if hasattr(conn, "conninfo"):  # a pool
            settings = {**(getattr(conn, "kwargs", None) or {})}
            known = ("options", "password", "user", "dbname", "host", "port", "sslmode")
            extra = {name: settings[name] for name in known if name in settings}
            return cls(make_conninfo(conn.conninfo, **extra), saver.serde)
        secret = {"password": conn.info.password} if conn.info.password else {}
        return cls(make_conninfo("", **conn.info.get_parameters(), **secret), saver.serde)

    @property
    def text_mark(self) -> str:
        return "%s::text"

    def read_checkpoint(self, key: Key) -> Record | None:
        rows = self.query(f"{_CHECKPOINT} {self.where}", key)
        if not rows:
            return None
        parent, checkpoint, metadata = rows[0]
        values = dict(checkpoint.get("channel_values") or {})
        for channel, tag, blob in self.query(_BLOBS, key):
            if tag != "empty":
                values[channel] = self.load(key, channel, tag, blob)
        checkpoint["channel_values"] = values
        if checkpoint["v"] < _SENDS_BECOME_A_CHANNEL and parent:
            self._add_sends(key, parent, checkpoint)
        return Record(key, parent or None, checkpoint, metadata)

    def size(self) -> int | None:
        return int(self.query(_SIZE)[0][0])

    def _add_sends(self, key: Key, parent: str, checkpoint: dict[str, Any]) -> None:
        """Add the sends of the parent as a channel, as PostgresSaver does when it reads."""
        order = "task_path, task_id, idx" if self.has_paths else "task_id, idx"
        rows = self.query(
            "SELECT type, blob FROM checkpoint_writes "
            f"WHERE thread_id = %s AND checkpoint_id = %s AND channel = %s ORDER BY {order}",
            (key.thread_id, parent, TASKS),
        )
        if rows:
            versions = checkpoint["channel_versions"]
            checkpoint["channel_values"][TASKS] = [self.load(key, TASKS, *row) for row in rows]
            versions[TASKS] = max(versions.values()) if versions else _FIRST_VERSION

    def connect(self) -> psycopg.Connection[Row]:
        """Return a new read-only connection."""
        import psycopg  # noqa: PLC0415 - an extra

        connection = psycopg.connect(self._conninfo, autocommit=True)
        connection.execute("SET default_transaction_read_only = on")
        return connection
