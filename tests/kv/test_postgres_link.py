"""Trips of one connection to PostgreSQL."""

from __future__ import annotations

import selectors
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from langgraph.checkpoint.lmdb.errors import RetryableError
from langgraph.checkpoint.lmdb.kv.postgres.connections import OwnConnections, PoolConnections
from langgraph.checkpoint.lmdb.kv.postgres.errors import ConflictError, ConnectionLostError
from langgraph.checkpoint.lmdb.kv.postgres.link import Link, Prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Schema

BEGIN, COMMIT = ("BEGIN", ()), ("COMMIT", ())
ONE = ("SELECT 1", ())
CONFLICT = ("SELECT 1 / %s", (0,))


@pytest.fixture
def link(schema: Schema) -> Iterator[Link]:
    """A connection."""
    connections = OwnConnections(schema.conninfo, 1, 30)
    found = connections.take()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("%s::int8", 0),
        ("%s::int8", -(1 << 63)),
        ("%s::int8", (1 << 63) - 1),
        ("%s::bytea", b""),
        ("%s::bytea", bytes(range(256))),
        ("%s::text", "text \u00e4 \U0001f600"),
    ],
)
def test_value_returns_as_it_was_sent(link: Link, sql: str, value: object) -> None:
    assert link.run([(f"SELECT {sql}, '%%'", (value,))]) == [[(value, "%")]]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("int8", []),
        ("int8", [1, -1]),
        ("int8", [1, None, 3]),
        ("int8", [None, None]),
        ("bytea", [b"", b"a", bytes(100_000)]),
    ],
)
def test_list_returns_as_rows(link: Link, kind: str, values: list[object]) -> None:
    found = link.run([(f"SELECT unnest(%s::{kind}[])", (values,))])
    assert found == [[(value,) for value in values]]


def test_columns_of_other_types(link: Link) -> None:
    found = link.run([("SELECT true, false, 7::int4, NULL::bytea, NULL::int8", ())])
    assert found == [[(True, False, 7, None, None)]]


def test_statements_of_a_trip_each_have_rows(link: Link) -> None:
    batch = [BEGIN, ONE, ("SELECT 2 WHERE false", ()), ("SELECT 3 UNION ALL SELECT 4", ()), COMMIT]
    assert link.run(batch) == [[], [(1,)], [], [(3,), (4,)], []]


def test_answers_that_are_larger_than_all_buffers(link: Link) -> None:
    """Both sides send more than the other one has room for before it reads."""
    large = Random(1).randbytes(8 << 20)
    batch: Any = [("SELECT %s::bytea", (large,))] * 3
    assert link.run(batch) == [[(large,)]] * 3
    assert link.run(batch[:1]) == [[(large,)]]


@pytest.mark.parametrize("batch", [[CONFLICT], [ONE, CONFLICT, ONE], [BEGIN, CONFLICT, COMMIT]])
def test_connection_can_be_used_after_an_error(link: Link, batch: Any) -> None:
    for _ in range(2):
        with pytest.raises(ConflictError):
            link.run(batch)
        link.run([("ROLLBACK", ())])
    assert link.run([ONE]) == [[(1,)]]


def test_error_names_what_the_server_said(link: Link) -> None:
    with pytest.raises(RetryableError, match="syntax error"):
        link.run([("SELEKT", ())])


def test_statement_that_was_sent_before_is_answered_first(link: Link) -> None:
    assert link.run([BEGIN, ONE]) == [[], [(1,)]]
    link.send("COMMIT")
    assert link.run([ONE]) == [[(1,)]]
    assert link.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_connection_that_the_server_ended(link: Link, schema: Schema) -> None:
    with psycopg.connect(schema.conninfo, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (link.connection.info.backend_pid,))
    for _ in range(2):
        with pytest.raises(ConnectionLostError):
            link.run([ONE])


def test_interrupt_ends_the_statement_and_the_connection(
    link: Link, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> Any:
        raise KeyboardInterrupt

    process = link.connection.info.backend_pid
    monkeypatch.setattr(selectors.PollSelector, "select", interrupt)
    with pytest.raises(KeyboardInterrupt):
        link.run([("SELECT pg_sleep(3600)", ())])
    assert link.connection.closed
    with psycopg.connect(schema.conninfo, autocommit=True) as other:
        while other.execute(
            "SELECT FROM pg_stat_activity WHERE pid = %s", (process,)
        ).fetchone():  # the server ends it soon
            pass


def test_savers_that_share_a_connection_prepare_under_different_names(schema: Schema) -> None:
    options = {"autocommit": True, "prepare_threshold": 0}
    with ConnectionPool(schema.conninfo, min_size=1, max_size=1, kwargs=options) as pool:
        found = [PoolConnections(pool, prepares=True) for _ in range(2)]
        for connections in found * 3:
            link = connections.take()
            assert link.run([("SELECT %s::int8", (1,))]) == [[(1,)]]
            connections.give_back(link)
        with pool.connection() as connection:
            rows = connection.execute("SELECT name FROM pg_prepared_statements").fetchall()
    assert len(rows) >= 2


def test_statement_is_prepared_after_some_uses(schema: Schema) -> None:
    with psycopg.connect(schema.conninfo, autocommit=True, prepare_threshold=2) as connection:
        prepared = Prepared()
        link = Link(connection, prepared)
        for use in range(4):
            assert link.run([("SELECT %s::int8", (use,))]) == [[(use,)]]
            assert len(prepared.names) == (use >= 2)
        assert link.run([BEGIN, ("SELECT %s::int8", (5,)), COMMIT]) == [[], [(5,)], []]


def test_statement_that_is_not_prepared_any_more(schema: Schema) -> None:
    with psycopg.connect(schema.conninfo, autocommit=True, prepare_threshold=0) as connection:
        link = Link(connection, Prepared())
        assert link.run([ONE]) == [[(1,)]]
        connection.execute("DEALLOCATE ALL")
        with pytest.raises(ConnectionLostError):  # the next connection prepares it again
            link.run([ONE])
