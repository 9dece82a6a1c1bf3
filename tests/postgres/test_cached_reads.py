"""Reads of a thread that the saver has cached: they ask only for its version."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from langgraph.checkpoint.lmdb.kv.postgres.link import Link
from tests.contract.driver import SaverDriver, config, put
from tests.postgres.test_writers import cut_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
    from tests.servers import Schema

LARGE = Random(1).randbytes(50_000).hex()
OTHER = Random(2).randbytes(50_000).hex()


@pytest.fixture
def driver(open_postgres: Callable[..., CompactPostgresSaver]) -> SaverDriver:
    """A saver that has cached a thread, except for its large value, which takes another trip."""
    driver = SaverDriver(open_postgres(cache_size=0))
    put(driver, "c1", {"a": LARGE, "b": 1})
    driver.put_writes(config(id="c1"), [("b", 2)], "task")
    return driver


def before_trip(patch: pytest.MonkeyPatch, trip: int, action: Callable[[], object]) -> list[Any]:
    """Call a function before a trip; return the statements of each trip, which grow."""
    trips: list[Any] = []
    run = Link.run

    def run_after(link: Link, statements: Any) -> Any:
        trips.append(statements)
        if len(trips) == trip:
            action()
        return run(link, statements)

    patch.setattr(Link, "run", run_after)
    return trips


def test_read_of_a_cached_thread_asks_for_its_version_and_for_large_values(
    driver: SaverDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips = before_trip(monkeypatch, 0, int)
    found = driver.get_tuple(config())
    assert found is not None
    assert found.checkpoint["channel_values"] == {"a": LARGE, "b": 1}
    assert found.pending_writes == [("task", "b", 2)]
    assert [len(trip) for trip in trips] == [1, 2]
    ((version,), (begin, _)) = trips
    assert version[0].count("SELECT") == 2
    assert begin[0].startswith("BEGIN")


@pytest.mark.parametrize("trip", [1, 2])
def test_thread_that_changes_during_a_read_is_read_again(
    driver: SaverDriver,
    open_postgres: Callable[..., CompactPostgresSaver],
    monkeypatch: pytest.MonkeyPatch,
    trip: int,
) -> None:
    other: Any = open_postgres()

    def replace() -> None:
        other.delete_thread("t")
        put(SaverDriver(other), "c2", {"a": OTHER})

    with monkeypatch.context() as patch:
        before_trip(patch, trip, replace)
        found = driver.get_tuple(config())
    assert found is not None
    assert found.checkpoint["channel_values"] == {"a": OTHER}
    assert found.pending_writes == []


@pytest.mark.parametrize("trip", [1, 2])
def test_thread_that_is_deleted_during_a_read_is_not_found(
    driver: SaverDriver,
    open_postgres: Callable[..., CompactPostgresSaver],
    monkeypatch: pytest.MonkeyPatch,
    trip: int,
) -> None:
    other = open_postgres()
    with monkeypatch.context() as patch:
        before_trip(patch, trip, lambda: other.delete_thread("t"))
        assert driver.get_tuple(config()) is None


@pytest.mark.parametrize("trip", [1, 2])
def test_read_whose_connection_ends_is_repeated(
    driver: SaverDriver, monkeypatch: pytest.MonkeyPatch, trip: int
) -> None:
    with monkeypatch.context() as patch:
        trips = cut_at(patch, trip)
        found = driver.get_tuple(config())
    assert found is not None
    assert found.checkpoint["channel_values"] == {"a": LARGE, "b": 1}
    assert len(trips) > trip


def test_readers_of_one_thread_do_not_share_what_they_know(
    driver: SaverDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other read runs in the middle of the first one."""
    found: list[Any] = []
    with monkeypatch.context() as patch:
        before_trip(patch, 2, lambda: found.append(in_thread(driver)))
        found.append(driver.get_tuple(config()))
    found.append(driver.get_tuple(config()))
    assert found[0] == found[1] == found[2]
    put(driver, "c2", {"a": 1}, parent="c1")
    latest = driver.get_tuple(config())
    assert latest is not None
    assert latest.checkpoint["id"] == "c2"


def in_thread(driver: SaverDriver) -> Any:
    """Call get_tuple in another thread."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(driver.get_tuple, config()).result()


@pytest.mark.parametrize("is_write", [False, True])
def test_cache_is_not_used_on_a_server_that_lacks_the_last_commits(
    open_postgres: Callable[..., CompactPostgresSaver], schema: Schema, is_write: bool
) -> None:
    """After a failover, other changes may have the versions that the saver knows."""
    driver = SaverDriver(open_postgres())
    put(driver, "c1", {"a": 1})
    with psycopg.connect(schema.conninfo, autocommit=True) as connection:
        tables = [
            row[0]
            for row in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema.name,)
            )
        ]
        connection.execute("CREATE SCHEMA standby")
        try:
            for table in tables:
                connection.execute(f"CREATE TABLE standby.{table} AS TABLE {schema.name}.{table}")
            put(driver, "c2", {"a": 2}, parent="c1")
            for table in tables:
                connection.execute(f"DELETE FROM {schema.name}.{table}")
                connection.execute(
                    f"INSERT INTO {schema.name}.{table} SELECT * FROM standby.{table}"
                )
        finally:
            connection.execute("DROP SCHEMA standby CASCADE")
        put(SaverDriver(open_postgres()), "c3", {"a": 3}, parent="c1")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'langgraph-lmdb'"
        )
    if is_write:
        put(driver, "c4", {"a": 4}, parent="c3")
    found = driver.get_tuple(config())
    assert found is not None
    assert found.checkpoint["channel_values"] == {"a": 4 if is_write else 3}
    saver: Any = driver.saver
    assert saver.verify().problems == ()
