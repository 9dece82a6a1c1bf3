"""Opening a store: its tables, its connections, and errors that say what to do."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from langgraph.checkpoint.lmdb.errors import (
    DatabaseUnavailableError,
    InvalidPathError,
    MissingKeyError,
    NotEncryptedError,
    ReadOnlyError,
    StoreClosedError,
    UsageError,
    WrongKeyError,
)
from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
from tests import servers
from tests.contract.driver import SaverDriver, config, ids, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import Schema

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def new_schema(postgres: str) -> Iterator[str]:
    """The name of a schema that does not exist. It is dropped at the end."""
    name = 'new "schema"; --'
    yield name
    with psycopg.connect(postgres, autocommit=True) as connection:
        quoted = name.replace('"', '""')
        connection.execute(f'DROP SCHEMA IF EXISTS "{quoted}" CASCADE')


def test_many_savers_create_the_tables_at_the_same_time(postgres: str, new_schema: str) -> None:
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def create(number: int) -> None:
        try:
            barrier.wait()
            with CompactPostgresSaver(postgres, schema=new_schema) as saver:
                put(SaverDriver(saver), "c", {"a": 1}, thread=f"t{number}")
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with CompactPostgresSaver(postgres, schema=new_schema) as saver:
        assert saver.stats().threads == 4
        assert saver.verify().problems == ()


def test_two_schemas_are_two_stores(postgres: str, new_schema: str, schema: Schema) -> None:
    with (
        CompactPostgresSaver(postgres, schema=new_schema) as one,
        CompactPostgresSaver(postgres, schema=schema.name) as other,
    ):
        put(SaverDriver(one), "c", {"a": 1})
        assert other.get_tuple(config()) is None


def test_read_only_saver_creates_no_tables(postgres: str, new_schema: str) -> None:
    with pytest.raises(UsageError, match="has no tables"):
        CompactPostgresSaver(postgres, schema=new_schema, readonly=True)


def test_read_only_saver_reads(schema: Schema, open_postgres: Callable[..., Any]) -> None:
    put(SaverDriver(open_postgres()), "c", {"a": 1})
    reader = SaverDriver(open_postgres(readonly=True))
    assert ids(reader.list(config())) == ["c"]
    with pytest.raises(ReadOnlyError):
        put(reader, "d", {"a": 1})


def test_tables_of_a_newer_release_are_refused(postgres: str, new_schema: str) -> None:
    CompactPostgresSaver(postgres, schema=new_schema).close()
    quoted = new_schema.replace('"', '""')
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'INSERT INTO "{quoted}".schema_version VALUES (99)')
    with pytest.raises(UsageError, match="version 99"):
        CompactPostgresSaver(postgres, schema=new_schema)


def test_role_without_rights_is_told_so(postgres: str, new_schema: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS weak")
        connection.execute("CREATE ROLE weak LOGIN")
    conninfo = psycopg.conninfo.make_conninfo(postgres, user="weak")
    with pytest.raises(UsageError, match="permission denied"):
        CompactPostgresSaver(conninfo, schema=new_schema)


@pytest.mark.parametrize(
    "conninfo",
    [
        f"host=/nowhere user=u password={SECRET} dbname=d",
        f"postgresql://u:{SECRET}@127.0.0.1:1/d",
        f"postgresql://u:{SECRET}@127.0.0.1:port/d",
        f"password={SECRET} nonsense",
    ],
)
def test_messages_never_hold_the_password(conninfo: str) -> None:
    with pytest.raises((DatabaseUnavailableError, UsageError)) as caught:
        CompactPostgresSaver(conninfo, timeout=0.1)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        assert SECRET not in repr(error)
        error = error.__cause__


def test_server_that_is_read_only_is_named(postgres: str, schema: Schema) -> None:
    CompactPostgresSaver(postgres, schema=schema.name).close()
    options = "-c default_transaction_read_only=on"
    conninfo = psycopg.conninfo.make_conninfo(postgres, options=options)
    with CompactPostgresSaver(conninfo, schema=schema.name, readonly=True) as saver:
        assert saver.get_tuple(config()) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("conninfo_or_pool", None),
        ("schema", ""),
        ("schema", "s" * 64),
        ("schema", 7),
        ("timeout", 0),
        ("timeout", "1"),
        ("max_connections", 0),
        ("readonly", 1),
    ],
)
def test_invalid_argument_is_refused(postgres: str, name: str, value: object) -> None:
    arguments: dict[str, Any] = {"conninfo_or_pool": postgres, name: value}
    with pytest.raises(UsageError, match=name):
        CompactPostgresSaver(**arguments)


def test_pool_of_the_caller_is_used_and_left_open(postgres: str, schema: Schema) -> None:
    with ConnectionPool(postgres, min_size=1, max_size=2, open=True) as pool:
        with CompactPostgresSaver(pool, schema=schema.name) as saver:
            driver = SaverDriver(saver)
            put(driver, "c1", {"a": [1] * 500})
            put(driver, "c2", {"a": [2] * 500}, parent="c1")
            assert ids(driver.list(config())) == ["c2", "c1"]
            assert saver.verify().problems == ()
        with pytest.raises(StoreClosedError):
            saver.get_tuple(config())
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_pooler_in_transaction_mode_may_be_in_between(postgres: str, schema: Schema) -> None:
    CompactPostgresSaver(postgres, schema=schema.name).close()
    with (
        servers.pooler(postgres, "transaction") as conninfo,
        CompactPostgresSaver(conninfo, schema=schema.name) as one,
        CompactPostgresSaver(conninfo, schema=schema.name) as other,
    ):
        drivers = SaverDriver(one), SaverDriver(other)
        for number in range(6):
            parent = f"c{number - 1}" if number else None
            put(drivers[number % 2], f"c{number}", {"a": [number] * 500}, parent=parent)
        for driver in drivers:
            assert len(driver.list(config())) == 6
        assert one.verify().problems == ()


def test_store_is_encrypted(open_postgres: Callable[..., Any], schema: Schema) -> None:
    key = bytes(range(32))
    saver = open_postgres(encryption_key=key)
    put(SaverDriver(saver), "c1", {"a": "a plain text that is long enough"}, thread="visible")
    with psycopg.connect(schema.conninfo) as connection:
        for table in ("checkpoints", "chunks", "thread_ids"):
            rows = connection.execute(f'SELECT key, value FROM "{schema.name}".{table}').fetchall()
            for row in rows:
                assert b"a plain text" not in row[1]
                assert b"visible" not in row[0]
    with pytest.raises(MissingKeyError):
        open_postgres()
    other = SaverDriver(open_postgres(encryption_key=key))
    assert ids(other.list(config(thread="visible"))) == ["c1"]
    new_key = bytes(range(1, 33))
    saver.rotate_key(new_key)
    with pytest.raises(WrongKeyError):
        other.list(config(thread="visible"))
    again = SaverDriver(open_postgres(encryption_key=new_key))
    assert ids(again.list(config(thread="visible"))) == ["c1"]
    assert saver.verify().problems == ()


def test_key_for_a_plain_store_is_refused(open_postgres: Callable[..., Any]) -> None:
    put(SaverDriver(open_postgres()), "c1", {"a": 1})
    with pytest.raises(NotEncryptedError):
        open_postgres(encryption_key=bytes(32))


def test_methods_that_need_files_say_so(open_postgres: Callable[..., Any], path: Any) -> None:
    saver = open_postgres()
    assert saver.path is None
    for call in (lambda: saver.backup(path), saver.compact):
        with pytest.raises(UsageError, match="no files"):
            call()


def test_schema_of_something_else_is_refused(schema: Schema, open_postgres: Any) -> None:
    open_postgres()
    with psycopg.connect(schema.conninfo, autocommit=True) as connection:
        connection.execute(f'DELETE FROM "{schema.name}".settings')
        connection.execute(
            f"INSERT INTO \"{schema.name}\".other_records (key, value) VALUES ('a', 'b')"
        )
    with pytest.raises(InvalidPathError):
        open_postgres()


def test_forked_child_has_connections_of_its_own(open_postgres: Callable[..., Any]) -> None:
    saver = open_postgres()
    driver = SaverDriver(saver)
    put(driver, "c1", {"a": 1})
    child = os.fork()
    if child == 0:
        status = 1
        try:
            put(driver, "c2", {"a": 2}, parent="c1")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    put(driver, "c3", {"a": 3}, parent="c2")
    assert ids(driver.list(config())) == ["c3", "c2", "c1"]
