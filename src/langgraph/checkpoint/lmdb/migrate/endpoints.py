"""The arguments `source` and `target` of a migration: savers, or what names one."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb.errors import InvalidPathError, UsageError
from langgraph.checkpoint.lmdb.lmdb_saver import LmdbSaver
from langgraph.checkpoint.lmdb.migrate.blocking import BlockingSaver
from langgraph.checkpoint.lmdb.migrate.postgres_source import PostgresSource
from langgraph.checkpoint.lmdb.migrate.saver_source import KvSource, MemorySource, SaverSource
from langgraph.checkpoint.lmdb.migrate.sqlite_source import SqliteSource
from langgraph.checkpoint.lmdb.migrate.target import Target
from langgraph.checkpoint.lmdb.saver import KvSaver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.serde.base import SerializerProtocol

    from langgraph.checkpoint.lmdb.migrate.source import Source

Endpoint: TypeAlias = "str | os.PathLike[str] | BaseCheckpointSaver[Any]"
"""A saver, which remains open; or the folder of a store, a SQLite file, or the connection string of
a PostgreSQL database."""
Loop: TypeAlias = "asyncio.AbstractEventLoop | None"

_KEY_VARIABLE = "LANGGRAPH_AES_KEY"
_SQLITE_HEADER = b"SQLite format 3\x00"
_SQLITE_SUFFIXES = (".sqlite", ".sqlite3", ".db")


@contextmanager
def open_source(endpoint: Endpoint, loop: Loop = None) -> Iterator[Source]:
    """Return a reader of an endpoint, for the length of a `with` block.

    Args:
        endpoint: The endpoint.
        loop: The event loop of savers that have asynchronous methods only.

    Raises:
        InvalidPathError: The path holds no checkpoints.
    """
    with ExitStack() as stack:
        if isinstance(endpoint, BaseCheckpointSaver):
            source = source_of(endpoint, loop)
        elif _is_conninfo(endpoint):
            source = PostgresSource(str(endpoint), _serde())
        elif _is_sqlite(endpoint):
            source = SqliteSource(_file(endpoint), _serde())
        else:
            if not (Path(endpoint).expanduser() / "data.mdb").exists():
                raise InvalidPathError(
                    "the path is neither the folder of a store nor a SQLite file",
                    path=str(endpoint),
                )
            source = KvSource(stack.enter_context(LmdbSaver(endpoint, readonly=True)))
        stack.callback(source.close)
        yield source


@contextmanager
def open_target(endpoint: Endpoint, loop: Loop = None) -> Iterator[Target]:
    """Return the target of an endpoint, for the length of a `with` block.

    A store, a SQLite file or tables that do not exist are created. A path that ends in `.sqlite`,
    `.sqlite3` or `.db` is a SQLite file.
    """
    with ExitStack() as stack:
        saver: Any
        if isinstance(endpoint, BaseCheckpointSaver):
            saver = endpoint
        elif _is_conninfo(endpoint):
            from langgraph.checkpoint.postgres import PostgresSaver  # noqa: PLC0415 - optional

            saver = stack.enter_context(PostgresSaver.from_conn_string(str(endpoint)))
            saver.serde = _serde()
            saver.setup()
        elif _is_sqlite(endpoint) or (
            not Path(endpoint).exists() and Path(endpoint).suffix in _SQLITE_SUFFIXES
        ):
            from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415 - optional

            saver = stack.enter_context(SqliteSaver.from_conn_string(_file(endpoint)))
            saver.serde = _serde()
            saver.setup()
        else:
            saver = stack.enter_context(LmdbSaver(endpoint))
        source = source_of(saver, loop)
        stack.callback(source.close)
        yield Target(blocking(saver, loop), source)


def source_of(saver: BaseCheckpointSaver[Any], loop: Loop = None) -> Source:
    """Return a reader of a saver."""
    if isinstance(saver, KvSaver):
        return KvSource(saver)
    if _is_a(saver, "langgraph.checkpoint.sqlite", "SqliteSaver"):
        _check_loop(saver)
        return SqliteSource.of_saver(saver)
    if _is_a(saver, "langgraph.checkpoint.postgres", "PostgresSaver"):
        _check_loop(saver)
        return PostgresSource.of_saver(saver)
    if isinstance(saver, InMemorySaver):
        return MemorySource(saver)
    return SaverSource(blocking(saver, loop))


def blocking(saver: BaseCheckpointSaver[Any], loop: Loop) -> BaseCheckpointSaver[Any]:
    """Return a saver with synchronous methods.

    Raises:
        UsageError: The saver has asynchronous methods only, and there is no event loop.
    """
    _check_loop(saver)
    if type(saver).get_tuple is not BaseCheckpointSaver.get_tuple:
        return saver
    if loop is None:
        raise UsageError("the saver has asynchronous methods only", advice="Call amigrate.")
    return BlockingSaver(saver, loop)


def _check_loop(saver: Any) -> None:
    loop = getattr(saver, "loop", None)
    if isinstance(loop, asyncio.AbstractEventLoop):
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is loop or not loop.is_running():
            raise UsageError(
                "an asynchronous saver works only in its running event loop",
                advice="Call amigrate in the event loop of the saver.",
            )


def _is_a(saver: object, module: str, name: str) -> bool:
    wanted = {(module, name), (f"{module}.aio", f"Async{name}")}
    return any((cls.__module__, cls.__name__) in wanted for cls in type(saver).__mro__)


def _is_conninfo(endpoint: object) -> bool:
    return isinstance(endpoint, str) and (
        endpoint.startswith(("postgres://", "postgresql://"))
        or ("=" in endpoint and any(word in endpoint for word in ("host=", "dbname=", "service=")))
    )


def _is_sqlite(endpoint: Any) -> bool:
    try:
        with Path(endpoint).expanduser().open("rb") as file:
            return file.read(len(_SQLITE_HEADER)) == _SQLITE_HEADER
    except OSError:
        return False


def _file(endpoint: Any) -> str:
    return str(Path(endpoint).expanduser())


def _serde() -> SerializerProtocol:
    """Return the serializer of an endpoint that is named by a text."""
    if os.environ.get(_KEY_VARIABLE):
        return EncryptedSerializer.from_pycryptodome_aes()
    return cast("SerializerProtocol", JsonPlusSerializer())
