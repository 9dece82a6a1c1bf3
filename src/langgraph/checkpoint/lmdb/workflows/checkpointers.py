"""Savers by configuration, and one saver for each store and process."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from typing_extensions import Self

from langgraph.checkpoint.lmdb.errors import DatabaseUnavailableError, StoreClosedError, UsageError
from langgraph.checkpoint.lmdb.opening import StoreName, is_conninfo, label, parse
from langgraph.checkpoint.lmdb.saver import KvSaver
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.connections import EXPECTED, MEMORY, Connection, open_saver
from langgraph.checkpoint.lmdb.workflows.database_errors import unavailable

BACKENDS = ("lmdb", "memory", "sqlite", "postgres")
_MINUTES_PER_DAY = 24 * 60
_DEFAULT_FOLDER = "checkpoints"
_CONNECTION = "connection string"


class CheckpointerManager:
    """The one saver that this process has for a store.

    Make it with `get_or_create`. At the end of the last `with` or `async with` block it is closed.

    Args:
        key: What tells stores apart.
        saver: The saver.
        options: The options that it was opened with.
    """

    _mutex: ClassVar[threading.RLock] = threading.RLock()
    _open: ClassVar[dict[object, CheckpointerManager]] = {}

    def __init__(
        self, key: object, saver: BaseCheckpointSaver[Any], options: dict[str, Any]
    ) -> None:
        self._key = key
        self._saver: BaseCheckpointSaver[Any] | None = saver
        self._options = options
        self._blocks = 0

    @classmethod
    def get_or_create(cls, connection: Connection, **options: Any) -> CheckpointerManager:
        """Return the manager of a store; the first call opens the store.

        Args:
            connection: Path or connection string of a store, which is created if it does not exist;
                or any saver.
            options: Other arguments of `LmdbSaver` or `CompactPostgresSaver`.

        Raises:
            UsageError: The store is open with other options.
            InvalidPathError: The path cannot be opened as a store.
            DatabaseUnavailableError: The server cannot be reached.
        """
        if isinstance(connection, BaseCheckpointSaver):
            if options:
                raise UsageError(
                    "options must be empty for a saver",
                    advice="Pass a path, or make the saver with these options.",
                )
            key: object = id(connection)
            asked: dict[str, Any] = {}
        else:
            key, asked = _store_key(connection), {_CONNECTION: _same(connection), **options}
        with cls._mutex:
            found = cls._open.get(key)
            if found is None:
                given = isinstance(connection, BaseCheckpointSaver)
                saver = connection if given else open_saver(connection, **options)  # type: ignore[arg-type]
                found = cls._open[key] = cls(key, saver, asked)  # type: ignore[arg-type]
            elif found._options != asked:
                every = {*found._options, *asked}
                differing = [name for name in every if found._options.get(name) != asked.get(name)]
                raise UsageError(
                    f"the store is open with other options: {', '.join(sorted(differing))} differ",
                    advice="Use the same options everywhere, or close the manager first.",
                )
            return found

    @classmethod
    async def aget_or_create(cls, connection: Connection, **options: Any) -> CheckpointerManager:
        """Async version of `get_or_create`: the store is opened in another thread."""
        return await asyncio.to_thread(cls.get_or_create, connection, **options)

    def get_checkpointer(self) -> BaseCheckpointSaver[Any]:
        """Return the saver.

        Raises:
            StoreClosedError: The manager is closed.
        """
        saver = self._saver
        if saver is None:
            raise StoreClosedError("the checkpointer manager is closed")
        return saver

    def close(self) -> None:
        """Close the saver, for all users in this process. A second call does nothing."""
        with self._mutex:
            saver, self._saver = self._saver, None
            if saver is None:
                return
            del self._open[self._key]
            close = getattr(saver, "close", None)
            if close is not None:
                close()

    async def aclose(self) -> None:
        """Async version of `close`."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        with self._mutex:
            self.get_checkpointer()
            self._blocks += 1
        return self

    def __exit__(self, *error: object) -> None:
        with self._mutex:
            self._blocks -= 1
            if self._blocks == 0:
                self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *error: object) -> None:
        await asyncio.to_thread(self.__exit__, *error)


def _store_key(connection: Any) -> str:
    if is_conninfo(connection):
        return label(connection)
    if not isinstance(connection, (str, os.PathLike)):
        arguments.refuse("connection", EXPECTED, connection)
    name = os.fspath(connection)
    return name if name == MEMORY else os.path.realpath(Path(name).expanduser())


def _same(connection: StoreName) -> str | None:
    """Return what must be the same in all connection strings of a store; None for a path."""
    return parse(connection).conninfo if is_conninfo(connection) else None


os.register_at_fork(
    after_in_child=CheckpointerManager._mutex._at_fork_reinit  # type: ignore[attr-defined]
)


@dataclass(frozen=True, slots=True)
class PersistenceConfig:
    """The configuration of a saver."""

    backend: Literal["lmdb", "memory", "sqlite", "postgres"]
    connection_string: str | None = field(default=None, repr=False)
    """Folder or connection string of a store of this package (lmdb), file (sqlite), or connection
    string for a PostgresSaver (postgres).

    Default: the folder or file `checkpoints`.
    """
    pool_min_size: int = 1
    """Connections that are kept open (postgres)."""
    pool_max_size: int = 10
    """Connections at most (postgres, and lmdb with a connection string)."""
    checkpoint_ttl_days: float | None = None
    """Days after which an idle thread expires (lmdb); None: never."""
    enable_compression: bool = True
    """Compress what is stored (lmdb)."""

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            arguments.refuse("backend", " or ".join(map(repr, BACKENDS)), self.backend)
        if self.connection_string is not None:
            arguments.text(self.connection_string, "connection_string")
        elif self.backend == "postgres":
            arguments.refuse("connection_string", "a connection string of PostgreSQL", None)
        least = arguments.count(self.pool_min_size, "pool_min_size", "connections")
        arguments.count(self.pool_max_size, "pool_max_size", "connections", max(1, least))
        if self.checkpoint_ttl_days is not None:
            arguments.number(self.checkpoint_ttl_days, "checkpoint_ttl_days", "days", above=True)
            if self.backend != "lmdb":
                raise UsageError(f"checkpoint_ttl_days must be None for {self.backend!r}")
        arguments.flag(self.enable_compression, "enable_compression")


def create_checkpointer(config: PersistenceConfig) -> BaseCheckpointSaver[Any]:
    """Return a new saver, ready for use. The caller closes it.

    A SqliteSaver has its connection as `conn`; a PostgresSaver has its pool there.

    Args:
        config: The configuration.

    Raises:
        UsageError: The configuration is invalid, or a package is not installed.
        DatabaseUnavailableError: The database server cannot be reached.
        InvalidPathError: The path cannot be opened as a store.
    """
    if not isinstance(config, PersistenceConfig):
        arguments.refuse("config", "a PersistenceConfig", config)
    if config.backend == "memory":
        return InMemorySaver()
    if config.backend == "sqlite":
        return _sqlite(config)
    if config.backend == "postgres":
        return _postgres(config)
    return _ours(config)


async def acreate_checkpointer(config: PersistenceConfig) -> BaseCheckpointSaver[Any]:
    """Async version of `create_checkpointer`: savers of sqlite and postgres are async ones."""
    if not isinstance(config, PersistenceConfig):
        arguments.refuse("config", "a PersistenceConfig", config)
    if config.backend == "sqlite":
        return await _async_sqlite(config)
    if config.backend == "postgres":
        return await _async_postgres(config)
    return create_checkpointer(config)


def _ours(config: PersistenceConfig) -> KvSaver:
    options: dict[str, Any] = {} if config.enable_compression else {"compression": None}
    if config.checkpoint_ttl_days is not None:
        options["ttl"] = {"default_ttl": config.checkpoint_ttl_days * _MINUTES_PER_DAY}
    name = config.connection_string or _DEFAULT_FOLDER
    if is_conninfo(name):
        options["max_connections"] = config.pool_max_size
    return open_saver(name, **options)


def _sqlite(config: PersistenceConfig) -> BaseCheckpointSaver[Any]:
    package = _package("langgraph.checkpoint.sqlite", "langgraph-checkpoint-sqlite")
    path = config.connection_string or f"{_DEFAULT_FOLDER}.sqlite"
    try:
        saver = package.SqliteSaver(sqlite3.connect(path, check_same_thread=False))
        saver.setup()
    except sqlite3.Error as error:
        raise DatabaseUnavailableError(f"SQLite failed: {error}", path=path) from error
    return saver  # type: ignore[no-any-return]


async def _async_sqlite(config: PersistenceConfig) -> BaseCheckpointSaver[Any]:
    package = _package("langgraph.checkpoint.sqlite.aio", "langgraph-checkpoint-sqlite")
    path = config.connection_string or f"{_DEFAULT_FOLDER}.sqlite"
    try:
        sqlite3.connect(path).close()  # aiosqlite leaves a thread behind when it cannot connect
        saver = package.AsyncSqliteSaver(await import_module("aiosqlite").connect(path))
        await saver.setup()
    except sqlite3.Error as error:
        raise DatabaseUnavailableError(f"SQLite failed: {error}", path=path) from error
    return saver  # type: ignore[no-any-return]


def _postgres(config: PersistenceConfig) -> BaseCheckpointSaver[Any]:
    package = _package("langgraph.checkpoint.postgres", "langgraph-checkpoint-postgres")
    pools = _package("psycopg_pool", "psycopg-pool")
    pool = pools.ConnectionPool(config.connection_string, **_pool_options(config))
    try:
        # A pool tries until its timeout, and does not tell why it cannot connect.
        import_module("psycopg").connect(config.connection_string).close()
        pool.open(wait=True)
        saver = package.PostgresSaver(pool)
        saver.setup()
    except Exception as error:
        pool.close()
        raise unavailable("PostgreSQL", error) from error
    return saver  # type: ignore[no-any-return]


async def _async_postgres(config: PersistenceConfig) -> BaseCheckpointSaver[Any]:
    package = _package("langgraph.checkpoint.postgres.aio", "langgraph-checkpoint-postgres")
    pools = _package("psycopg_pool", "psycopg-pool")
    pool = pools.AsyncConnectionPool(config.connection_string, **_pool_options(config))
    try:
        connect = import_module("psycopg").AsyncConnection.connect
        await (await connect(config.connection_string)).close()
        await pool.open(wait=True)
        saver = package.AsyncPostgresSaver(pool)
        await saver.setup()
    except Exception as error:
        await pool.close()
        raise unavailable("PostgreSQL", error) from error
    return saver  # type: ignore[no-any-return]


def _pool_options(config: PersistenceConfig) -> dict[str, Any]:
    rows = _package("psycopg.rows", "psycopg")
    return {
        "min_size": config.pool_min_size,
        "max_size": config.pool_max_size,
        "kwargs": {"autocommit": True, "prepare_threshold": 0, "row_factory": rows.dict_row},
        "open": False,
    }


def _package(module: str, distribution: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(
            f"the package {distribution} is not installed",
            advice=f"Run: pip install {distribution}.",
        ) from error
