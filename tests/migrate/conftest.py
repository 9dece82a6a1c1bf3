"""Fixtures of the tests of migrations: savers of every kind."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.migrate import CatchUpSaver
from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
from tests import servers
from tests.migrate.savers import PlainSaver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langgraph.checkpoint.base import BaseCheckpointSaver

OpenCatchUp: TypeAlias = "Callable[[Any, Any], CatchUpSaver]"
KINDS = ("lmdb", "compact", "sqlite", "postgres", "memory", "plain")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The connection string of a PostgreSQL server that runs for all tests."""
    with servers.server() as conninfo:
        yield conninfo


@pytest.fixture
def open_kind(tmp_path: Path, request: Any) -> Iterator[Callable[..., BaseCheckpointSaver[Any]]]:
    """A function that opens an empty saver of a kind. The fixture closes the savers."""
    numbers = count()
    with ExitStack() as stack:

        def open_one(kind: str, serde: Any = None) -> BaseCheckpointSaver[Any]:
            path = tmp_path / f"store {next(numbers)}"
            saver: Any
            if kind == "lmdb":
                saver = stack.enter_context(LmdbSaver(path, sync="off", serde=serde))
            elif kind == "sqlite":
                connection = sqlite3.connect(path, check_same_thread=False)
                stack.callback(connection.close)
                saver = SqliteSaver(connection, serde=serde)
            elif kind == "compact":
                conninfo = new_database(request.getfixturevalue("server"))
                saver = stack.enter_context(CompactPostgresSaver(conninfo, serde=serde))
            elif kind == "postgres":
                conninfo = new_database(request.getfixturevalue("server"))
                saver = stack.enter_context(PostgresSaver.from_conn_string(conninfo))
                if serde is not None:
                    saver.serde = serde
                saver.setup()
            else:
                saver = {"memory": InMemorySaver, "plain": PlainSaver}[kind](serde=serde)
            return saver

        yield open_one


@pytest.fixture
def open_catch_up() -> Iterator[OpenCatchUp]:
    """A function that opens a CatchUpSaver. The fixture closes them."""
    with ExitStack() as stack:
        yield lambda old, new: stack.enter_context(CatchUpSaver(old, new))


_databases = count()


def new_database(conninfo: str) -> str:
    """Create a database; return its connection string."""
    name = f"migrate{next(_databases)}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return psycopg.conninfo.make_conninfo(conninfo, dbname=name)
