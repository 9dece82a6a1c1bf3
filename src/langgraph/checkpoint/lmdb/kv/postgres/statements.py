"""The SQL of a store: its tables, and the statements on them.

A guard is a statement that returns no row if a version differs. `Statements.commit` makes one
statement of guards and of all that depends on them, which fails with a division by zero if a guard
returns no row. A query is a statement whose rows have the columns thread, key, value and number.
Many queries are sent as one statement, too, which takes client and server less time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langgraph.checkpoint.lmdb.kv.postgres.layout import Layout, Table, TableRange, Tail
    from langgraph.checkpoint.lmdb.kv.postgres.link import Statement

BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
BEGIN_REPEATABLE: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE"
BEGIN_WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
VERSION: Final = 1
"""Version of the tables."""
ADVISORY_LOCKS: Final = """
SELECT classid::bigint << 32 | objid::bigint FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
"""
_NO_BYTES: Final = "NULL::bytea, NULL::bytea"
_NO_NUMBER: Final = "NULL::int8"
_UNION: Final = 64
"""Queries in one statement at most. The server needs a stack for each one."""
NUMBER_BLOCK: Final = 64
"""Thread numbers that a process takes at a time."""


class Statements:
    """The statements on the tables of one schema.

    Args:
        schema: Name of the schema.
        layout: The tables.
    """

    def __init__(self, schema: str, layout: Layout) -> None:
        self.schema = schema
        self._quoted = '"' + schema.replace('"', '""').replace("%", "%%") + '"'
        self._layout = layout
        self._versions = self._named("thread_versions")
        self._commits = self._named("commits")

    def _named(self, name: str) -> str:
        return f"{self._quoted}.{name}"

    def find_schema(self) -> Statement:
        """Return the statement that finds the table of the schema's version."""
        return (
            "SELECT count(*) FROM pg_catalog.pg_tables"
            " WHERE schemaname = %s AND tablename = 'schema_version'",
            (self.schema,),
        )

    def schema_version(self) -> Statement:
        """Return the statement that reads the version of the tables."""
        return f"SELECT max(version) FROM {self._named('schema_version')}", ()

    def migrations(self, version: int) -> list[Statement]:
        """Return the statements that bring the tables from a version to `VERSION`.

        Args:
            version: The version that the schema has. 0: it has no tables.
        """
        found: list[Statement] = []
        if version < 1:
            found += [(sql, ()) for sql in self._first_tables()]
        found.append((f"INSERT INTO {self._named('schema_version')} VALUES (%s)", (VERSION,)))
        return found

    def _first_tables(self) -> Iterable[str]:
        yield f"CREATE SCHEMA IF NOT EXISTS {self._quoted}"
        yield f"CREATE TABLE {self._named('schema_version')} (version int PRIMARY KEY)"
        yield f"CREATE SEQUENCE {self._named('thread_numbers')} INCREMENT BY {NUMBER_BLOCK}"
        yield (
            f"CREATE TABLE {self._versions}"
            " (thread bigint PRIMARY KEY, version bigint NOT NULL) WITH (fillfactor = 50)"
        )
        yield f"INSERT INTO {self._versions} VALUES (0, 1)"
        yield (
            f"CREATE TABLE {self._commits} (lane bigint PRIMARY KEY, number bigint NOT NULL,"
            " at timestamptz NOT NULL DEFAULT now()) WITH (fillfactor = 50)"
        )
        for table in self._layout.tables:
            name = self._named(table.name)
            thread = "NOT NULL" if table.by_thread else "NULL"
            primary = "thread, key" if table.by_thread else "key"
            fill = 50 if table.is_updated else 100
            yield (
                f"CREATE TABLE {name} (thread bigint {thread}, key bytea NOT NULL,"
                f" value bytea NOT NULL, PRIMARY KEY ({primary})) WITH (fillfactor = {fill})"
            )
            yield f"ALTER TABLE {name} ALTER COLUMN value SET STORAGE EXTERNAL"

    def size(self) -> Statement:
        """Return the statement that adds up the bytes of the tables."""
        return (
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8"
            " FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n"
            " ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'",
            (self.schema,),
        )

    def next_numbers(self) -> Statement:
        """Return the statement that takes a block of thread numbers."""
        return "SELECT nextval(%s::regclass)", (self._named("thread_numbers"),)

    def now(self) -> Statement:
        """Return the statement that asks for the time in milliseconds since the epoch."""
        return "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8", ()

    def select_all(self, queries: Sequence[Statement]) -> list[Statement]:
        """Return the statements that run queries. In front of each row is the query's position."""
        found: list[Statement] = []
        for first in range(0, len(queries), _UNION):
            group = queries[first : first + _UNION]
            union = " UNION ALL ".join(
                f"(SELECT {place}, * FROM ({sql}) AS q)"
                for place, (sql, _) in enumerate(group, first)
            )
            found.append((union, [value for _, values in group for value in values]))
        return found

    def select_keys(self, table: Table, rows: Sequence[tuple[int | None, bytes]]) -> Statement:
        """Return the query for rows by thread and key."""
        sql = f"SELECT thread, key, value, {_NO_NUMBER} FROM {self._named(table.name)}"
        threads, keys = ([*column] for column in zip(*rows, strict=True))
        if not table.by_thread:
            return f"{sql} WHERE key = ANY(%s)", (keys,)
        if len({*threads}) == 1:
            return f"{sql} WHERE key = ANY(%s) AND thread = %s::int8", (keys, threads[0])
        return (
            f"{sql} JOIN unnest(%s::int8[], %s::bytea[]) AS wanted(thread, key)"
            " USING (thread, key)",
            (threads, keys),
        )

    def select_range(
        self, part: TableRange, *, values: bool, reverse: bool, limit: int | None
    ) -> Statement:
        """Return the query for the rows of a range. Without a value, the number is its size."""
        table, low, high = part
        value = f"value, {_NO_NUMBER}"
        if table.is_large and not values:
            value = "NULL::bytea, octet_length(value)::int8"
        sql = f"SELECT thread, key, {value} FROM {self._named(table.name)}"
        conditions: list[str] = []
        parameters: list[object] = []
        order = "thread, key"
        if not table.by_thread:
            order = "key"
            for bound, sign in ((low, ">="), (high, "<")):
                if bound is not None:
                    conditions.append(f"key {sign} %s")
                    parameters.append(bound[1])
        elif low is not None and high is not None and low[0] == high[0]:
            conditions = ["thread = %s::int8 AND key >= %s AND key < %s"]
            parameters = [low[0], low[1], high[1]]
            order = "key"
        elif low is not None and high == (low[0] + 1, b""):
            conditions = ["thread = %s::int8 AND key >= %s"]
            parameters = [*low]
            order = "key"
        else:
            for bound, sign in ((low, ">="), (high, "<")):
                if bound is not None:
                    conditions.append(f"(thread, key) {sign} (%s::int8, %s)")
                    parameters += bound
        if conditions:
            sql += " WHERE " + " AND ".join(conditions)
        if limit is not None:
            if reverse:
                order = ", ".join(f"{column} DESC" for column in order.split(", "))
            sql += f" ORDER BY {order} LIMIT {limit}"
        return sql, parameters

    def select_tail(self, tail: Tail, name: bytes) -> Statement:
        """Return the query for the last rows of the thread with a name."""
        sql = (
            f"SELECT thread, key, value, {_NO_NUMBER} FROM {self._named(tail.table.name)}"
            f" WHERE thread = (SELECT thread FROM {self._named(self._layout.names.name)}"
            " WHERE key = %s) AND key >= %s"
        )
        parameters: list[object] = [name, tail.low]
        if tail.high is not None:
            sql += " AND key < %s"
            parameters.append(tail.high)
        return f"{sql} ORDER BY key DESC LIMIT {tail.limit}", parameters

    def select_versions(self, units: Sequence[int]) -> Statement:
        """Return the query for the versions of units, which are the numbers of the rows."""
        return (
            f"SELECT thread, {_NO_BYTES}, version FROM {self._versions}"
            " WHERE thread = ANY(%s::int8[])",
            ([*units],),
        )

    def select_version_of(self, name: bytes) -> Statement:
        """Return the query for the version of the thread with a name; see `select_versions`."""
        return (
            f"SELECT thread, {_NO_BYTES}, version FROM {self._versions} WHERE thread ="
            f" (SELECT thread FROM {self._named(self._layout.names.name)} WHERE key = %s)",
            (name,),
        )

    def commit(self, guards: Sequence[Statement], changes: Iterable[Statement]) -> Statement:
        """Return the statement that makes changes, or fails if a guard returns no row."""
        parts = [f"g{place} AS ({sql})" for place, (sql, _) in enumerate(guards)]
        counts = [f"(SELECT count(*) FROM g{place})" for place in range(len(guards))]
        parameters = [value for _, values in guards for value in values]
        for place, (sql, values) in enumerate(changes):
            parts.append(f"c{place} AS ({sql})")
            parameters += values
        return f"WITH {', '.join(parts)} SELECT 1 / ({' * '.join(counts)})", parameters

    def raise_version(self, unit: int, version: int) -> Statement:
        """Return the guard that raises the version of a unit."""
        return (
            f"UPDATE {self._versions} SET version = version + 1"
            " WHERE thread = %s::int8 AND version = %s::int8 RETURNING 1",
            (unit, version),
        )

    def check_version(self, unit: int, version: int) -> Statement:
        """Return the guard that keeps the version of a unit until the commit."""
        return (
            f"SELECT 1 FROM {self._versions}"
            " WHERE thread = %s::int8 AND version = %s::int8 FOR SHARE",
            (unit, version),
        )

    def add_version(self, unit: int, version: int) -> Statement:
        """Return the guard that adds a unit, or fails if it exists."""
        return (
            f"INSERT INTO {self._versions} VALUES (%s::int8, %s::int8) RETURNING 1",
            (unit, version),
        )

    def change_version(self, unit: int, version: int) -> Statement:
        """Return the guard that raises the version of a unit, whatever it is: the transaction read
        nothing of the unit."""
        return (
            f"INSERT INTO {self._versions} AS v VALUES (%s::int8, %s::int8)"
            " ON CONFLICT (thread) DO UPDATE SET version = v.version + 1 RETURNING 1",
            (unit, version),
        )

    def drop_version(self, unit: int) -> Statement:
        """Return the statement that removes the version of a unit without records."""
        left = " AND ".join(
            f"NOT EXISTS (SELECT 1 FROM {self._named(table.name)} AS t WHERE t.thread = v.thread)"
            for table in self._layout.anchors
        )
        return f"DELETE FROM {self._versions} AS v WHERE v.thread = %s::int8 AND {left}", (unit,)

    def insert(self, table: Table, rows: Sequence[tuple[int | None, bytes, bytes]]) -> Statement:
        """Return the statement that adds rows, or fails if one exists."""
        threads, keys, values = ([*column] for column in zip(*rows, strict=True))
        return (
            f"INSERT INTO {self._named(table.name)} (thread, key, value)"
            " SELECT * FROM unnest(%s::int8[], %s::bytea[], %s::bytea[])",
            (threads, keys, values),
        )

    def upsert(self, table: Table, rows: Sequence[tuple[int | None, bytes, bytes]]) -> Statement:
        """Return the statement that adds rows, or replaces their values."""
        sql, parameters = self.insert(table, rows)
        primary = "thread, key" if table.by_thread else "key"
        new = "value = EXCLUDED.value"
        if not table.by_thread:
            new += ", thread = EXCLUDED.thread"
        return f"{sql} ON CONFLICT ({primary}) DO UPDATE SET {new}", parameters

    def delete(self, table: Table, thread: int | None, keys: list[bytes]) -> Statement:
        """Return the statement that deletes rows."""
        sql = f"DELETE FROM {self._named(table.name)} WHERE key = ANY(%s::bytea[])"
        if table.by_thread:
            return f"{sql} AND thread = %s::int8", (keys, thread)
        return sql, (keys,)

    def record_commit(self, lane: int, number: int) -> Statement:
        """Return the guard that records commit `number` of a lane, after number - 1."""
        if number == 1:
            return (
                f"INSERT INTO {self._commits} (lane, number) VALUES (%s::int8, 1) RETURNING 1",
                (lane,),
            )
        return (
            f"UPDATE {self._commits} SET number = %s::int8, at = now()"
            " WHERE lane = %s::int8 AND number = %s::int8 RETURNING 1",
            (number, lane, number - 1),
        )

    def prevent_commit(self, lane: int, number: int) -> Statement:
        """Return the statement after which commit `number` of a lane cannot happen any more.

        It returns a row if the commit has not happened. It waits for the end of a transaction
        that has recorded the commit and is still open.
        """
        if number == 1:
            return (
                f"INSERT INTO {self._commits} AS c (lane, number) VALUES (%s::int8, -1)"
                " ON CONFLICT (lane) DO UPDATE SET number = -1 WHERE c.number = -1 RETURNING 1",
                (lane,),
            )
        return (
            f"UPDATE {self._commits} SET number = -1"
            " WHERE lane = %s::int8 AND number IN (%s::int8, -1) RETURNING 1",
            (lane, number - 1),
        )

    def forget_lanes(self, lanes: Sequence[int]) -> Statement:
        """Return the statement that deletes lanes, and lanes that were not used for a month."""
        return (
            f"DELETE FROM {self._commits} WHERE lane = ANY(%s::int8[])"
            " OR at < now() - interval '30 days'",
            ([*lanes],),
        )


def rows_by_table(
    changes: Iterable[tuple[Any, bytes | None]],
) -> tuple[dict[Any, list[Any]], dict[Any, list[bytes]]]:
    """Group changes.

    Args:
        changes: Place of each key, and its new value. None: the key is deleted.

    Returns:
        Rows to store by table, and keys to delete by table and thread.
    """
    stored: dict[Any, list[Any]] = {}
    deleted: dict[Any, list[bytes]] = {}
    for (table, thread, key), value in changes:
        if value is None:
            owner = thread if table.by_thread else None
            deleted.setdefault((table, owner), []).append(key)
        else:
            stored.setdefault(table, []).append((thread, key, value))
    return stored, deleted
