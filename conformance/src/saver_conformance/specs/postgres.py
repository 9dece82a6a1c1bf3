"""Specs of PostgresSaver and AsyncPostgresSaver, on a local server that runs during the run."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from saver_conformance.servers import exported, first_opening, postgres
from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

#: Environment variable with the address, for second processes.
_VARIABLE = "SAVER_CONFORMANCE_POSTGRES"
_TABLES = "checkpoints, checkpoint_blobs, checkpoint_writes"


@contextmanager
def _server() -> Iterator[None]:
    from langgraph.checkpoint.postgres import PostgresSaver  # noqa: PLC0415

    with postgres() as conninfo:
        with PostgresSaver.from_conn_string(conninfo) as saver:
            saver.setup()
        with exported(_VARIABLE, conninfo):
            yield


@contextmanager
def _attach(path: Path, serde: Any = None) -> Iterator[Any]:  # noqa: ARG001
    from langgraph.checkpoint.postgres import PostgresSaver  # noqa: PLC0415
    from psycopg import Connection  # noqa: PLC0415
    from psycopg.rows import dict_row  # noqa: PLC0415

    # Equivalent to `PostgresSaver.from_conn_string`, which accepts no serializer.
    with Connection.connect(
        os.environ[_VARIABLE], autocommit=True, prepare_threshold=0, row_factory=dict_row
    ) as connection:
        yield PostgresSaver(connection, serde=serde)


@contextmanager
def _open(path: Path, serde: Any = None) -> Iterator[Any]:
    with _attach(path, serde) as saver:
        with first_opening(path) as is_first:
            if is_first:
                saver.conn.execute(f"TRUNCATE {_TABLES}")
        yield saver


@asynccontextmanager
async def _aattach(path: Path, serde: Any = None) -> AsyncIterator[Any]:  # noqa: ARG001
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver  # noqa: PLC0415
    from psycopg import AsyncConnection  # noqa: PLC0415
    from psycopg.rows import dict_row  # noqa: PLC0415

    async with await AsyncConnection.connect(
        os.environ[_VARIABLE], autocommit=True, prepare_threshold=0, row_factory=dict_row
    ) as connection:
        yield AsyncPostgresSaver(connection, serde=serde)


@asynccontextmanager
async def _aopen(path: Path, serde: Any = None) -> AsyncIterator[Any]:
    async with _aattach(path, serde) as saver:
        with first_opening(path) as is_first:
            if is_first:
                await saver.conn.execute(f"TRUNCATE {_TABLES}")
        yield saver


_spec = partial(
    SaverSpec, durable=True, lifespan=_server, distribution="langgraph-checkpoint-postgres"
)

sync = _spec(
    name="PostgresSaver",
    open=_open,
    reopen=_attach,
    attach=_attach,
    snippet="""
        import os
        from psycopg import Connection
        from psycopg.rows import dict_row
        from langgraph.checkpoint.postgres import PostgresSaver
        # DATABASE_URL must name an empty database
        connection = Connection.connect(
            os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=0, row_factory=dict_row)
        saver = PostgresSaver(connection{, serde})
        saver.setup()
    """,
)

aio = _spec(
    name="AsyncPostgresSaver",
    open=_aopen,
    reopen=_aattach,
    attach=_aattach,
    snippet="""
        import os
        from psycopg import AsyncConnection
        from psycopg.rows import dict_row
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        # DATABASE_URL must name an empty database
        async with await AsyncConnection.connect(
            os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=0, row_factory=dict_row
        ) as connection:
            saver = AsyncPostgresSaver(connection{, serde})
            await saver.setup()
    """,
)
