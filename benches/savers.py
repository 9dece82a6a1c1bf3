"""The savers to compare, each opened as its documentation says."""

from __future__ import annotations

import functools
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import TYPE_CHECKING, Any

from benches.model import Location, Saver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    import lmdb
    from langgraph.checkpoint.base import BaseCheckpointSaver

OURS = "lmdb"
OURS_ON_POSTGRES = "compact-postgres"

_MAP_SIZE = 64 << 30


@contextmanager
def _floor(location: Location, durable: bool) -> Iterator[BaseCheckpointSaver[Any]]:
    from benches.floor import ReferenceSaver

    yield ReferenceSaver()


@contextmanager
def _memory(location: Location, durable: bool) -> Iterator[BaseCheckpointSaver[Any]]:
    from langgraph.checkpoint.memory import InMemorySaver

    with InMemorySaver() as saver:
        yield saver


@contextmanager
def _sqlite(location: Location, durable: bool) -> Iterator[BaseCheckpointSaver[Any]]:
    from langgraph.checkpoint.sqlite import SqliteSaver

    with SqliteSaver.from_conn_string(str(location.directory / "checkpoints.sqlite")) as saver:
        saver.setup()
        if not durable:
            saver.conn.execute("PRAGMA synchronous=OFF")
        yield saver


@asynccontextmanager
async def _async_sqlite(location: Location) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    path = str(location.directory / "checkpoints.sqlite")
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        await saver.setup()
        yield saver


@contextmanager
def _postgres(location: Location, durable: bool) -> Iterator[BaseCheckpointSaver[Any]]:
    from langgraph.checkpoint.postgres import PostgresSaver

    with PostgresSaver.from_conn_string(location.dsn) as saver:
        saver.setup()
        with saver._cursor() as cursor:
            cursor.execute(f"SET synchronous_commit = {'on' if durable else 'off'}")
        yield saver
        with saver._cursor() as cursor:
            cursor.execute("CHECKPOINT")  # write the pages to the files whose blocks are counted


@asynccontextmanager
async def _async_postgres(location: Location) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

    async with AsyncPostgresSaver.from_conn_string(location.dsn) as saver:
        await saver.setup()
        yield saver


@contextmanager
def _compact_postgres(location: Location, durable: bool) -> Iterator[BaseCheckpointSaver[Any]]:
    import psycopg

    from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver

    commit = f"-c synchronous_commit={'on' if durable else 'off'}"
    conninfo = psycopg.conninfo.make_conninfo(location.dsn, options=commit)
    with CompactPostgresSaver(conninfo, prepare_statements=True) as saver:
        yield saver
    with psycopg.connect(location.dsn, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


@contextmanager
def _peer_environment(location: Location, durable: bool) -> Iterator[lmdb.Environment]:
    import lmdb

    path = str(location.directory / "peer")
    with lmdb.open(path, map_size=_MAP_SIZE, max_dbs=2, sync=durable) as env:
        yield env


@contextmanager
def _lmdb_peer(location: Location, durable: bool) -> Iterator[BaseCheckpointSaver[Any]]:
    from langgraph_checkpoint_lmdb import LMDBSaver

    with _peer_environment(location, durable) as env:
        yield LMDBSaver(env)


@asynccontextmanager
async def _async_lmdb_peer(location: Location) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    from langgraph_checkpoint_lmdb import AsyncLMDBSaver

    with _peer_environment(location, True) as env:
        yield AsyncLMDBSaver(env)


@contextmanager
def _lmdb(location: Location, durable: bool) -> Iterator[BaseCheckpointSaver[Any]]:
    from langgraph.checkpoint.lmdb import LmdbSaver

    with LmdbSaver(location.directory / "checkpoints", sync="full" if durable else "off") as saver:
        yield saver


@contextmanager
def _lmdb_unflushed(location: Location, durable: bool) -> Iterator[BaseCheckpointSaver[Any]]:
    with _lmdb(location, False) as saver:
        yield saver


def _as_async(
    opener: Callable[[Location, bool], AbstractContextManager[BaseCheckpointSaver[Any]]],
) -> Callable[[Location], AbstractAsyncContextManager[BaseCheckpointSaver[Any]]]:
    """Return the async opener of a saver whose class serves both APIs."""

    @asynccontextmanager
    @functools.wraps(opener)
    async def open_async(location: Location) -> AsyncIterator[BaseCheckpointSaver[Any]]:
        with opener(location, True) as saver:
            yield saver

    return open_async


SAVERS = {
    saver.name: saver
    for saver in (
        Saver(
            name="floor",
            title="references only",
            probe="benches.floor:ReferenceSaver",
            distribution="langgraph",
            durability="none: keeps references, to measure the graph itself",
            open=_floor,
            open_async=_as_async(_floor),
            persistent=False,
        ),
        Saver(
            name="memory",
            title="InMemorySaver",
            probe="langgraph.checkpoint.memory:InMemorySaver",
            distribution="langgraph-checkpoint",
            durability="none: process memory",
            open=_memory,
            open_async=_as_async(_memory),
            persistent=False,
        ),
        Saver(
            name="sqlite",
            title="SqliteSaver",
            async_title="AsyncSqliteSaver",
            probe="langgraph.checkpoint.sqlite:SqliteSaver",
            distribution="langgraph-checkpoint-sqlite",
            durability="every commit: WAL, synchronous=FULL (the connection's default)",
            open=_sqlite,
            open_async=_async_sqlite,
        ),
        Saver(
            name="postgres",
            title="PostgresSaver",
            async_title="AsyncPostgresSaver",
            probe="langgraph.checkpoint.postgres:PostgresSaver",
            distribution="langgraph-checkpoint-postgres",
            durability="every commit: fsync=on, synchronous_commit=on; local Unix socket",
            open=_postgres,
            open_async=_async_postgres,
            server=True,
        ),
        Saver(
            name="lmdb-peer",
            title="langgraph-checkpoint-lmdb",
            probe="langgraph_checkpoint_lmdb:LMDBSaver",
            distribution="langgraph-checkpoint-lmdb",
            durability="every commit: sync=True, metasync=True (its default)",
            open=_lmdb_peer,
            open_async=_async_lmdb_peer,
        ),
        Saver(
            name=OURS,
            title="LmdbSaver",
            probe="langgraph.checkpoint.lmdb:LmdbSaver",
            distribution="langgraph-lmdb",
            durability='every commit: sync="full" (the default)',
            open=_lmdb,
            open_async=_as_async(_lmdb),
        ),
        Saver(
            name=OURS_ON_POSTGRES,
            title="CompactPostgresSaver",
            probe="langgraph.checkpoint.lmdb.postgres:CompactPostgresSaver",
            distribution="langgraph-lmdb",
            durability="as PostgresSaver; like it, it prepares its statements",
            open=_compact_postgres,
            open_async=_as_async(_compact_postgres),
            server=True,
            on_demand=True,
        ),
        Saver(
            name="lmdb-unflushed",
            title="LmdbSaver without flushes",
            probe="langgraph.checkpoint.lmdb:LmdbSaver",
            distribution="langgraph-lmdb",
            durability='none: sync="off", to measure the cost of the disk',
            open=_lmdb_unflushed,
            open_async=_as_async(_lmdb_unflushed),
            on_demand=True,
        ),
    )
}
