"""Specs of SqliteSaver and AsyncSqliteSaver (langgraph-checkpoint-sqlite), on a file."""

from __future__ import annotations

from contextlib import asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any

from saver_conformance.spec import KnownFailure, SaverSpec
from saver_conformance.violation import FailureKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@contextmanager
def _open(path: Path, serde: Any = None) -> Iterator[Any]:
    import sqlite3  # noqa: PLC0415

    from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415

    # Equivalent to `SqliteSaver.from_conn_string`, which accepts no serializer.
    with closing(sqlite3.connect(path / "store.db", check_same_thread=False)) as connection:
        yield SqliteSaver(connection, serde=serde)


@asynccontextmanager
async def _aopen(path: Path, serde: Any = None) -> AsyncIterator[Any]:
    import aiosqlite  # noqa: PLC0415
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # noqa: PLC0415

    async with aiosqlite.connect(path / "store.db") as connection:
        yield AsyncSqliteSaver(connection, serde=serde)


_MIXED = KnownFailure(
    "put_writes decides once per call whether writes replace earlier ones: "
    "a special write beside a regular write does not replace",
    message="pending_writes",
)
_LOCKED = KnownFailure("list holds the saver's lock until the list ends", kind=FailureKind.HUNG)

sync = SaverSpec.on_disk(
    "SqliteSaver",
    _open,
    known_failures={
        "list.paused.writable": _LOCKED,
        "list.paused.threads": _LOCKED,
        "list.paused.whole": _LOCKED,
        "writes.mixed_call": _MIXED,
    },
    distribution="langgraph-checkpoint-sqlite",
    snippet="""
        import sqlite3
        from langgraph.checkpoint.sqlite import SqliteSaver
        connection = sqlite3.connect(path + "/store.db", check_same_thread=False)
        saver = SqliteSaver(connection{, serde})
    """,
)

aio = SaverSpec.on_disk(
    "AsyncSqliteSaver",
    _aopen,
    distribution="langgraph-checkpoint-sqlite",
    snippet="""
        import aiosqlite
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
        async with aiosqlite.connect(path + "/store.db") as connection:
            saver = AsyncSqliteSaver(connection{, serde})
    """,
)
