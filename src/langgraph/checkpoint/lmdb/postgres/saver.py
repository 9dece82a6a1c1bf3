"""`CompactPostgresSaver`: a saver on the tables of a PostgreSQL schema."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.postgres.opening import conninfo_of, open_store
from langgraph.checkpoint.lmdb.saver import DEFAULT_CACHE_SIZE, DEFAULT_LEVEL, KvSaver

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.serde.base import SerializerProtocol
    from typing_extensions import Self

    from langgraph.checkpoint.lmdb.encryption.key_source import EncryptionKey
    from langgraph.checkpoint.lmdb.models import TTLConfig


class CompactPostgresSaver(KvSaver):
    """A LangGraph checkpointer in PostgreSQL, for any number of threads, processes and machines.

    ```python
    saver = CompactPostgresSaver("postgresql://user@host/database")
    graph = builder.compile(checkpointer=saver)
    ```

    The same object serves `invoke` and `ainvoke`. It has the methods of `LmdbSaver`, except that
    `backup`, `compact` and `copy_store` need a store with files. Call `close()` after its last
    use, or use it in a `with` block.

    Args:
        conninfo_or_pool: A connection string, as of `psycopg.connect`, with all that it may say:
            several hosts, `target_session_attrs`, `options` with a `statement_timeout`, TLS. Or an
            open `psycopg_pool.ConnectionPool`, which the caller closes.
        schema: The schema of its tables. It is created if it is missing.
        serde: The serializer, as for `LmdbSaver`.
        ttl: The retention policy, as for `LmdbSaver`.
        compression: The level of zstd, as for `LmdbSaver`.
        cache_size: Approximate size of the cache of values in bytes.
        readonly: True: never write, and do not create the tables.
        encryption_key: As for `LmdbSaver`.
        max_connections: Connections at most, for a connection string.
        timeout: Seconds to wait for a free connection, and to try again if the server is away.
        prepare_statements: True: let the server keep the plans of statements that are used often.
            Do not pass it if a pooler in transaction mode is in between. Connections of a pool
            prepare statements as their `prepare_threshold` says.
        clock: A function that returns the time in seconds since the epoch. The lease on background
            sweeps is measured by the server's clock.

    Raises:
        DatabaseUnavailableError: The server cannot be reached.
        UsageError: An argument is invalid, the role lacks a right, or the server is too old.
        InvalidPathError: The schema holds another kind of store.
        MissingKeyError: The store is encrypted, and there is no key.
        WrongKeyError: The store is encrypted with another key.
        NotEncryptedError: A key is given, but the store is not encrypted.
    """

    def __init__(
        self,
        conninfo_or_pool: Any,
        *,
        schema: str = "langgraph_compact",
        serde: SerializerProtocol | None = None,
        ttl: TTLConfig | None = None,
        compression: int | None = DEFAULT_LEVEL,
        cache_size: int = DEFAULT_CACHE_SIZE,
        readonly: bool = False,
        encryption_key: EncryptionKey | None = None,
        max_connections: int = 10,
        timeout: float = 30.0,
        prepare_statements: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            partial(
                open_store,
                conninfo_or_pool,
                schema=schema,
                readonly=readonly,
                encryption_key=encryption_key,
                max_connections=max_connections,
                timeout=timeout,
                prepare_statements=prepare_statements,
            ),
            serde=serde,
            ttl=ttl,
            compression=compression,
            cache_size=cache_size,
            clock=clock,
        )
        self._conninfo_or_pool = conninfo_or_pool
        self._at_close: list[Callable[[], object]] = []

    def close(self) -> None:
        """Close the store and its connections. A second call does nothing."""
        super().close()
        while self._at_close:
            self._at_close.pop()()

    def call_at_close(self, function: Callable[[], object]) -> None:
        """Call a function when the saver is closed."""
        self._at_close.append(function)

    @property
    def conninfo(self) -> str:
        """Connection string of the database, with the password if there is one."""
        return conninfo_of(self._conninfo_or_pool)

    def advisory_locks(self) -> frozenset[int]:
        """Return the keys of all advisory locks that are held in the database.

        Raises:
            DatabaseUnavailableError: The server cannot be reached.
            StoreClosedError: The saver is closed.
        """
        store: Any = getattr(self._kv, "inner", self._kv)  # an encrypted store has one inside
        return store.advisory_locks()  # type: ignore[no-any-return]

    @classmethod
    def from_conn_string(cls, conn_string: str, **arguments: Any) -> Self:
        """Open a saver for a `with` or an `async with` block, as for other savers.

        Args:
            conn_string: The connection string.
            arguments: Other arguments of `CompactPostgresSaver`.
        """
        return cls(conn_string, **arguments)
