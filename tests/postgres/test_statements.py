"""What the server is asked: one statement for a commit, and prepared ones if they are wanted."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from langgraph.checkpoint.lmdb.errors import RetryableError
from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
from tests import servers
from tests.contract.driver import SaverDriver, config, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import Schema

_REFUSE = """
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the commit is refused'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {schema}.checkpoints
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse();
"""


@contextmanager
def refused_commits(schema: Schema) -> Iterator[None]:
    """Let the server refuse each commit of a checkpoint, after all of its statements."""
    with psycopg.connect(schema.conninfo, autocommit=True) as connection:
        connection.execute(_REFUSE.format(schema=schema.name))
        try:
            yield
        finally:
            connection.execute(f"DROP TRIGGER refuse ON {schema.name}.checkpoints")


@pytest.mark.parametrize("after_read", [False, True])
def test_error_of_the_commit_itself_is_raised(
    open_postgres: Callable[..., CompactPostgresSaver], schema: Schema, after_read: bool
) -> None:
    """After a read, the commit is sent together with the end of the read."""
    driver = SaverDriver(open_postgres(max_connections=1))
    put(driver, "c1", {"a": 1})
    with refused_commits(schema):
        if after_read:
            assert driver.get_tuple(config()) is not None
        with pytest.raises(RetryableError, match="the commit is refused"):
            put(driver, "c2", {"a": 2}, parent="c1")
    put(driver, "c3", {"a": 3}, parent="c1")
    found = driver.list(config())
    assert [one.checkpoint["id"] for one in found] == ["c3", "c1"]
    assert found[0].checkpoint["channel_values"] == {"a": 3}


def use(saver: CompactPostgresSaver) -> None:
    """Call each method that a graph calls, often enough to prepare its statements."""
    driver = SaverDriver(saver)
    for step in range(10):
        put(driver, f"c{step}", {"a": step}, parent=f"c{step - 1}" if step else None)
        driver.put_writes(config(id=f"c{step}"), [("a", step)], "task")
        found = driver.get_tuple(config())
        assert found is not None
        assert found.checkpoint["channel_values"] == {"a": step}
    assert len(driver.list(config())) == 10


def prepared(saver: CompactPostgresSaver) -> int:
    """Return the number of statements that a connection of a saver has prepared."""
    link = saver._kv.take()  # type: ignore[attr-defined]
    ((rows,),) = link.run([("SELECT count(*) FROM pg_prepared_statements", ())])
    saver._kv.connections.give_back(link)  # type: ignore[attr-defined]
    return int(rows[0])


@pytest.mark.parametrize("wanted", [False, True])
def test_statements_are_prepared_only_if_that_is_wanted(
    open_postgres: Callable[..., CompactPostgresSaver], wanted: bool
) -> None:
    saver = open_postgres(prepare_statements=wanted, max_connections=1)
    use(saver)
    assert (prepared(saver) >= 3) is wanted


@pytest.mark.parametrize("wanted", [False, True])
def test_statements_of_a_pool_are_prepared_only_if_that_is_wanted(
    schema: Schema, wanted: bool
) -> None:
    options = {"autocommit": True, "prepare_threshold": 0}
    with (
        ConnectionPool(schema.conninfo, min_size=1, max_size=1, kwargs=options) as pool,
        CompactPostgresSaver(pool, schema=schema.name, prepare_statements=wanted) as saver,
    ):
        use(saver)
        assert (prepared(saver) >= 3) is wanted


def test_nothing_is_prepared_behind_a_pooler(schema: Schema) -> None:
    with (
        servers.pooler(schema.conninfo, "transaction") as conninfo,
        CompactPostgresSaver(conninfo, schema=schema.name) as saver,
    ):
        use(saver)
        assert prepared(saver) == 0
