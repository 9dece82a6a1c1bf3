"""Specs of PyMySQLSaver and AIOMySQLSaver (langgraph-checkpoint-mysql), on a local MariaDB."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from saver_conformance.servers import exported, first_opening, mariadb
from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

#: Environment variable with the path of the socket, for second processes.
_VARIABLE = "SAVER_CONFORMANCE_MARIADB"
_TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


def _where() -> dict[str, Any]:
    socket = os.environ[_VARIABLE]
    return {"unix_socket": socket, "user": "root", "autocommit": True}


@contextmanager
def _server() -> Iterator[None]:
    import pymysql  # noqa: PLC0415
    from langgraph.checkpoint.mysql.pymysql import PyMySQLSaver  # noqa: PLC0415

    with mariadb() as socket, exported(_VARIABLE, socket):
        with pymysql.connect(**_where()) as connection:
            connection.cursor().execute("CREATE DATABASE conformance")
        with pymysql.connect(**_where(), database="conformance") as connection:
            PyMySQLSaver(connection).setup()
        yield


@contextmanager
def _attach(path: Path, serde: Any = None) -> Iterator[Any]:  # noqa: ARG001
    import pymysql  # noqa: PLC0415
    from langgraph.checkpoint.mysql.pymysql import PyMySQLSaver  # noqa: PLC0415

    # Equivalent to `PyMySQLSaver.from_conn_string`, which accepts no serializer.
    with pymysql.connect(**_where(), database="conformance") as connection:
        yield PyMySQLSaver(connection, serde=serde)


@contextmanager
def _open(path: Path, serde: Any = None) -> Iterator[Any]:
    with _attach(path, serde) as saver:
        with first_opening(path) as is_first:
            for table in _TABLES if is_first else ():
                saver.conn.cursor().execute(f"DELETE FROM {table}")  # noqa: S608
        yield saver


@asynccontextmanager
async def _aattach(path: Path, serde: Any = None) -> AsyncIterator[Any]:  # noqa: ARG001
    import aiomysql  # noqa: PLC0415
    from langgraph.checkpoint.mysql.aio import AIOMySQLSaver  # noqa: PLC0415

    async with await aiomysql.connect(**_where(), db="conformance") as connection:
        yield AIOMySQLSaver(connection, serde=serde)


@asynccontextmanager
async def _aopen(path: Path, serde: Any = None) -> AsyncIterator[Any]:
    async with _aattach(path, serde) as saver, saver.conn.cursor() as cursor:
        with first_opening(path) as is_first:
            for table in _TABLES if is_first else ():
                await cursor.execute(f"DELETE FROM {table}")  # noqa: S608
        yield saver


_spec = partial(
    SaverSpec, durable=True, lifespan=_server, distribution="langgraph-checkpoint-mysql"
)

sync = _spec(
    name="PyMySQLSaver (MariaDB)",
    open=_open,
    reopen=_attach,
    attach=_attach,
    snippet="""
        import os
        import pymysql
        from langgraph.checkpoint.mysql.pymysql import PyMySQLSaver
        # DATABASE_URL must name an empty database, for example mysql://root@localhost/test
        connection = pymysql.connect(
            **PyMySQLSaver.parse_conn_string(os.environ["DATABASE_URL"]), autocommit=True)
        saver = PyMySQLSaver(connection{, serde})
        saver.setup()
    """,
)

aio = _spec(
    name="AIOMySQLSaver (MariaDB)",
    open=_aopen,
    reopen=_aattach,
    attach=_aattach,
    snippet="""
        import os
        import aiomysql
        from langgraph.checkpoint.mysql.aio import AIOMySQLSaver
        # DATABASE_URL must name an empty database, for example mysql://root@localhost/test
        async with await aiomysql.connect(
            **AIOMySQLSaver.parse_conn_string(os.environ["DATABASE_URL"]), autocommit=True
        ) as connection:
            saver = AIOMySQLSaver(connection{, serde})
            await saver.setup()
    """,
)
