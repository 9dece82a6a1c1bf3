"""Spec of CompactPostgresSaver (langgraph-lmdb), on a local server that runs during the run."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from saver_conformance.servers import exported, first_opening, postgres
from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Environment variable with the address, for second processes.
_VARIABLE = "SAVER_CONFORMANCE_COMPACT_POSTGRES"

_SCHEMA = "conformance"

#: Deletes every row that a new schema does not have, so that no store needs tables of its own.
_CLEAR = """
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN
            SELECT tablename FROM pg_tables WHERE schemaname = 'conformance'
                AND tablename NOT IN ('schema_version', 'thread_versions')
        LOOP
            EXECUTE format('DELETE FROM conformance.%I', name);
        END LOOP;
        DELETE FROM conformance.thread_versions WHERE thread > 0;
    END $$
"""


@contextmanager
def _server() -> Iterator[None]:
    from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver  # noqa: PLC0415

    with postgres() as conninfo, exported(_VARIABLE, conninfo):
        CompactPostgresSaver(conninfo, schema=_SCHEMA).close()
        yield


def _attach(path: Path, serde: Any = None) -> Any:  # noqa: ARG001
    from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver  # noqa: PLC0415

    return CompactPostgresSaver(os.environ[_VARIABLE], schema=_SCHEMA, serde=serde)


def _open(path: Path, serde: Any = None) -> Any:
    import psycopg  # noqa: PLC0415

    with first_opening(path) as is_first:
        if is_first:
            with psycopg.connect(os.environ[_VARIABLE], autocommit=True) as connection:
                connection.execute(_CLEAR)
    return _attach(path, serde)


spec = SaverSpec.on_disk(
    "CompactPostgresSaver",
    _open,
    reopen=_attach,
    attach=_attach,
    lifespan=_server,
    distribution="langgraph-lmdb",
    snippet="""
        import os
        from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
        # DATABASE_URL must name an empty database
        saver = CompactPostgresSaver(os.environ["DATABASE_URL"]{, serde})
    """,
)
