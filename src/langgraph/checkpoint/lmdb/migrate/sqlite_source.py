"""The tables of SqliteSaver and AsyncSqliteSaver, read through a read-only connection."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from langgraph.checkpoint.serde.base import SerializerProtocol

from langgraph.checkpoint.lmdb.errors import InvalidPathError
from langgraph.checkpoint.lmdb.migrate.models import Key, Record
from langgraph.checkpoint.lmdb.migrate.sql_source import Row, SqlSource

_DATABASES = "PRAGMA database_list"


class SqliteSource(SqlSource):
    """A reader of a SQLite file.

    Args:
        path: The file. None: the database is in memory, and its connection is used.
        serde: The serializer of the values.
        connection: The connection of a database in memory, and its lock.
    """

    writes_table: ClassVar[str] = "writes"
    value_column: ClassVar[str] = "value"
    mark: ClassVar[str] = "?"

    def __init__(
        self,
        path: str | None,
        serde: SerializerProtocol,
        connection: tuple[sqlite3.Connection, threading.Lock] | None = None,
    ) -> None:
        super().__init__(serde)
        self._path = path
        self._shared = connection
        columns = [row[1] for row in self.query("PRAGMA table_info(writes)")]
        if not columns:
            self.close()
            raise InvalidPathError("the database has no tables of SqliteSaver", path=path)
        self.has_paths = "task_path" in columns

    @classmethod
    def of_saver(cls, saver: Any) -> SqliteSource:
        """Return the source of a SqliteSaver or an AsyncSqliteSaver."""
        if isinstance(saver.conn, sqlite3.Connection):
            with saver.cursor(transaction=False) as cursor:  # creates the tables
                path = cursor.execute(_DATABASES).fetchone()[2]
            shared = None if path else (saver.conn, saver.lock)
            return cls(path or None, saver.serde, shared)
        path = asyncio.run_coroutine_threadsafe(_async_path(saver), saver.loop).result()
        if not path:
            raise InvalidPathError(
                "the database of the AsyncSqliteSaver is in memory and cannot be opened again",
                advice="Save it to a file with `saver.conn.backup`, and pass the file.",
            )
        return cls(path, saver.serde)

    def query(self, statement: str, arguments: Sequence[Any] = ()) -> list[Row]:
        if self._shared is None:
            return super().query(statement, arguments)
        connection, lock = self._shared
        with lock, closing(connection.cursor()) as cursor:
            return cursor.execute(statement, tuple(arguments)).fetchall()

    def read_checkpoint(self, key: Key) -> Record | None:
        rows = self.query(
            "SELECT parent_checkpoint_id, type, checkpoint, metadata "
            f"FROM checkpoints {self.where}",
            key,
        )
        if not rows:
            return None
        parent, tag, checkpoint, metadata = rows[0]
        return Record(
            key,
            parent or None,
            self.load(key, None, tag, checkpoint),
            {} if metadata is None else json.loads(metadata),
        )

    def size(self) -> int | None:
        if self._path is None:
            return None
        files = (Path(self._path + end) for end in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def connect(self) -> sqlite3.Connection:
        """Return a new read-only connection."""
        address = f"file:{quote(str(self._path))}?mode=ro"
        try:
            return sqlite3.connect(address, uri=True, check_same_thread=False)
        except sqlite3.OperationalError as error:
            raise InvalidPathError(
                f"the file cannot be opened: {error}", path=self._path
            ) from error


async def _async_path(saver: Any) -> str:
    await saver.setup()
    async with saver.conn.execute(_DATABASES) as cursor:
        row = await cursor.fetchone()
    return str(row[2])
