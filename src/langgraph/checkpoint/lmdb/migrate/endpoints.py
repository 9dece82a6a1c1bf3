"""The arguments `source` and `target` of a migration: savers, or what names one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb.errors import InvalidPathError, UsageError
from langgraph.checkpoint.lmdb.migrate.blocking import BlockingSaver
from langgraph.checkpoint.lmdb.migrate.postgres_source import PostgresSource
from langgraph.checkpoint.lmdb.migrate.saver_source import KvSource, MemorySource, SaverSource
from langgraph.checkpoint.lmdb.migrate.source import Source
from langgraph.checkpoint.lmdb.migrate.sqlite_source import SqliteSource
from langgraph.checkpoint.lmdb.migrate.target import Target
from langgraph.checkpoint.lmdb.opening import (
    is_conninfo,
    is_folder_of_store,
    open_existing,
    open_saver,
    parse,
)
from langgraph.checkpoint.lmdb.saver import KvSaver

Endpoint: TypeAlias = "str | os.PathLike[str] | BaseCheckpointSaver[Any]"
"""A saver, which remains open; or the folder of a store, a SQLite file, or the connection string of
a PostgreSQL database."""
Kind: TypeAlias = Literal["compact", "postgres"]
"""Saver of a connection string: CompactPostgresSaver or PostgresSaver."""
KINDS: Final = ("compact", "postgres")
Loop: TypeAlias = "asyncio.AbstractEventLoop | None"

_KEY_VARIABLE = "LANGGRAPH_AES_KEY"
_SQLITE_HEADER = b"SQLite format 3\x00"
_SQLITE_SUFFIXES = (".sqlite", ".sqlite3", ".db")


@contextmanager
def open_source(
    endpoint: Endpoint, loop: Loop = None, kind: Kind | None = None
) -> Iterator[Source]:
    """Return a reader of an endpoint, for the length of a `with` block.

    Args:
        endpoint: The endpoint.
        loop: The event loop of savers that have asynchronous methods only.
        kind: The saver of a connection string. None: the one that the database holds.

    Raises:
        InvalidPathError: The path holds no checkpoints, or the database has none.
        UsageError: The database has stores of both savers, and no kind is given.
    """
    _check_kind(endpoint, kind, "source_saver")
    with ExitStack() as stack:
        if isinstance(endpoint, BaseCheckpointSaver):
            source = source_of(endpoint, loop)
        elif is_conninfo(endpoint):
            if (kind or _kind_of(endpoint)) == "postgres":
                source = PostgresSource(parse(endpoint).conninfo, _serde())
            else:
                source = KvSource(stack.enter_context(open_existing(endpoint, readonly=True)))
        elif _is_sqlite(endpoint):
            source = SqliteSource(_file(endpoint), _serde())
        elif is_folder_of_store(endpoint):
            source = KvSource(stack.enter_context(open_existing(endpoint, readonly=True)))
        else:
            raise InvalidPathError(
                "the path is neither the folder of a store nor a SQLite file", path=str(endpoint)
            )
        stack.callback(source.close)
        yield source


@contextmanager
def open_target(
    endpoint: Endpoint, loop: Loop = None, kind: Kind | None = None
) -> Iterator[Target]:
    """Return the target of an endpoint, for the length of a `with` block.

    A store, a SQLite file or tables that do not exist are created. A path that ends in `.sqlite`,
    `.sqlite3` or `.db` is a SQLite file.

    Args:
        endpoint: The endpoint.
        loop: The event loop of savers that have asynchronous methods only.
        kind: The saver of a connection string. None: CompactPostgresSaver.
    """
    _check_kind(endpoint, kind, "target_saver")
    with ExitStack() as stack:
        saver: Any
        if isinstance(endpoint, BaseCheckpointSaver):
            saver = endpoint
        elif kind == "postgres":
            from langgraph.checkpoint.postgres import PostgresSaver  # noqa: PLC0415 - optional

            conninfo = parse(endpoint).conninfo
            saver = stack.enter_context(PostgresSaver.from_conn_string(conninfo))
            saver.serde = _serde()
            saver.setup()
        elif not is_conninfo(endpoint) and (
            _is_sqlite(endpoint)
            or (not Path(endpoint).exists() and Path(endpoint).suffix in _SQLITE_SUFFIXES)
        ):
            from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415 - optional

            saver = stack.enter_context(SqliteSaver.from_conn_string(_file(endpoint)))
            saver.serde = _serde()
            saver.setup()
        else:
            saver = stack.enter_context(open_saver(endpoint))
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


def _check_kind(endpoint: Endpoint, kind: object, name: str) -> None:
    if kind is None:
        return
    if kind not in KINDS:
        raise UsageError(f"{name} must be {' or '.join(KINDS)}, got {kind!r}")
    if not is_conninfo(endpoint):
        raise UsageError(f"{name} must be None for what is not a connection string")


def _kind_of(conninfo: object) -> Kind:
    """Return the saver of which a database has a store.

    Raises:
        InvalidPathError: The database has no store.
        UsageError: The database has stores of both savers.
    """
    address = parse(conninfo)
    if address.names_schema:
        return "compact"
    from langgraph.checkpoint.lmdb.postgres.finding import find_stores  # noqa: PLC0415 - an extra

    found = find_stores(address.conninfo, address.schema)
    if found.compact and found.postgres:
        raise UsageError(
            "the database has stores of CompactPostgresSaver and of PostgresSaver",
            advice="Pass source_saver='compact' or 'postgres', on the command line "
            "--source-saver compact or postgres.",
        )
    if not found.compact and not found.postgres:
        raise InvalidPathError(
            f"the database has neither a store in the schema {address.schema!r} nor the tables of "
            "PostgresSaver",
            advice="Check the connection string, or name another schema in it: ?schema=NAME.",
        )
    return "compact" if found.compact else "postgres"


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
