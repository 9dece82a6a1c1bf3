"""`LmdbSaver`: a saver on an LMDB store in a folder, or on a store in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from langgraph.checkpoint.serde.base import SerializerProtocol
from typing_extensions import Self

from langgraph.checkpoint.lmdb.encryption.key_source import EncryptionKey
from langgraph.checkpoint.lmdb.kv.lmdb.store import DEFAULT_MAP_SIZE
from langgraph.checkpoint.lmdb.models import TTLConfig
from langgraph.checkpoint.lmdb.operations.opening import open_store
from langgraph.checkpoint.lmdb.saver import DEFAULT_CACHE_SIZE, DEFAULT_LEVEL, KvSaver


class LmdbSaver(KvSaver):
    """A LangGraph checkpointer in a folder, for any number of threads, tasks and processes.

    ```python
    graph = builder.compile(checkpointer=LmdbSaver("checkpoints"))
    ```

    The same object serves `invoke` and `ainvoke`. Savers on one path share one store. Call
    `close()` after the last use of a saver, or use it in a `with` block. A saver that is dropped
    without that is closed when it is collected, with a ResourceWarning.

    Args:
        path: The folder of the store. It is created if it does not exist, private to its owner. A
            leading `~` is the home folder. ":memory:" is a store in memory, which ends with the
            saver.
        serde: The serializer; by default LangGraph's JsonPlusSerializer. With exactly that one,
            storing a list of messages costs only its new messages. An unchanged value is not
            stored again if the serializer returns the same bytes for it, or is LangGraph's
            EncryptedSerializer on a serializer that does.
        ttl: The retention policy, a `TTLConfig`: minutes until an idle thread expires, the history
            to keep, and the interval of background sweeps. None: nothing expires.
        sync: The durability of a call that has returned. "full" survives a power failure; "normal"
            may lose the last calls but never damages the store; "off" may damage the store on a
            power failure. The end of the process loses nothing in any mode.
        compression: The level of zstd, 1 to 22; pieces of 4 KiB and more are compressed two levels
            lower. None: no compression.
        cache_size: Approximate size of the cache in bytes. The cache holds the latest value of
            each channel, so that unchanged values are neither read nor serialized again, and the
            writes that a `DeltaChannel` is rebuilt from. 0 disables it.
        map_size: Initial address space in bytes. It uses neither memory nor disk, and grows
            automatically.
        readonly: True: open an existing store, and never write to it.
        encryption_key: 32 random bytes that encrypt all data; or several such keys, of which the
            first is for a new store; or a function without arguments that returns either, called
            when a key is needed; or "env" for the bytes in the environment variable
            LANGGRAPH_AES_KEY. None leaves a new store unencrypted, and opens an encrypted store
            with the key in LANGGRAPH_AES_KEY.
        clock: A function that returns the time in seconds since the epoch.

    Raises:
        InvalidPathError: The path is a file or a connection string, is not writable, or holds
            other data.
        UsageError: Another argument is invalid.
        FormatVersionError: A newer release wrote the store.
        DamagedError: The store is damaged.
        MissingKeyError: The store is encrypted, and there is no key.
        WrongKeyError: The store is encrypted with another key.
        NotEncryptedError: A key is given, but the store is not encrypted.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        serde: SerializerProtocol | None = None,
        ttl: TTLConfig | None = None,
        sync: Literal["full", "normal", "off"] = "full",
        compression: int | None = DEFAULT_LEVEL,
        cache_size: int = DEFAULT_CACHE_SIZE,
        map_size: int = DEFAULT_MAP_SIZE,
        readonly: bool = False,
        encryption_key: EncryptionKey | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            partial(
                open_store,
                path,
                sync=sync,
                map_size=map_size,
                readonly=readonly,
                encryption_key=encryption_key,
            ),
            serde=serde,
            ttl=ttl,
            compression=compression,
            cache_size=cache_size,
            clock=clock,
        )

    @classmethod
    def from_conn_string(cls, conn_string: str | os.PathLike[str], **arguments: Any) -> Self:
        """Open a saver for a `with` or an `async with` block, as for other savers.

        Args:
            conn_string: The path, as for `LmdbSaver`.
            arguments: Other arguments of `LmdbSaver`.
        """
        return cls(conn_string, **arguments)
