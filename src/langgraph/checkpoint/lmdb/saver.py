"""`LmdbSaver`: LangGraph checkpoints in an LMDB store."""

from __future__ import annotations

import os
import random
import time
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from langgraph.checkpoint.lmdb.aio import AsyncMethods
from langgraph.checkpoint.lmdb.codec import serializer
from langgraph.checkpoint.lmdb.codec.value_codec import ValueCodec
from langgraph.checkpoint.lmdb.encryption import opening
from langgraph.checkpoint.lmdb.engine.housekeeping import Housekeeping
from langgraph.checkpoint.lmdb.engine.options import StoreOptions
from langgraph.checkpoint.lmdb.engine.store import CheckpointStore
from langgraph.checkpoint.lmdb.errors import LmdbSaverError, RetryableError, UsageError
from langgraph.checkpoint.lmdb.kv.group_commit import GroupCommit
from langgraph.checkpoint.lmdb.kv.lmdb.store import DEFAULT_MAP_SIZE, LmdbStore
from langgraph.checkpoint.lmdb.maintenance import Maintenance
from langgraph.checkpoint.lmdb.management import Management
from langgraph.checkpoint.lmdb.operations import background, configs, get, put, retention
from langgraph.checkpoint.lmdb.operations.session import Session
from langgraph.checkpoint.lmdb.rekeying import Rekeying
from langgraph.checkpoint.lmdb.verifying import Verifying

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from types import TracebackType

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        DeltaChannelHistory,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from typing_extensions import Self

    from langgraph.checkpoint.lmdb.encryption.opening import EncryptionKey
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
    from langgraph.checkpoint.lmdb.operations.retention import Policy, TTLConfig

DEFAULT_CACHE_SIZE = 64 << 20
# Higher levels make small records a tenth smaller, in several times the time:
# `python -m benches.dictionary`.
DEFAULT_LEVEL = 3
_PARENT_CACHE_SIZE = 512
_BYTES_PER_HINT = 2048  # a hint takes about 300: beside the cache it adds a seventh at most


class LmdbSaver(AsyncMethods, Management, Rekeying, Verifying, Maintenance):
    """Keeps LangGraph checkpoints in a folder, for any number of threads, tasks and processes.

    ```python
    graph = builder.compile(checkpointer=LmdbSaver("checkpoints"))
    ```

    The same object serves `invoke` and `ainvoke`. Savers on one path share one store. Call
    `close()` when a saver is not used any more, or use it in a `with` block. One that is dropped is
    closed when it is collected, with a ResourceWarning.

    Args:
        path: The folder of the store; made, for its owner alone, if it is not there.
        serde: How values are serialised; LangGraph's JsonPlusSerializer unless told. With exactly
            that one, a list of messages costs what is new in it.
        ttl: For how long what is kept, a `TTLConfig`: minutes after which an idle thread goes, how
            much history to keep, and how often to sweep in the background. None: for ever.
        sync: When a call returns, "full": it survives a power cut; "normal": the last calls may
            be lost to a power cut, the store stays whole; "off": a power cut may damage the
            store. None of them loses anything when only the process dies.
        compression: zstd's level, 1 to 22; None stores without compression.
        cache_size: Bytes of memory that may be used, about, to remember the latest values of each
            channel, and the writes that a `DeltaChannel` is rebuilt from, so that what did not
            change is neither serialised nor rebuilt again. 0 remembers nothing.
        map_size: Bytes of address space to begin with. It grows by itself; no memory or disk is
            taken by it.
        readonly: Open a store that exists, and never write to it.
        encryption_key: 32 random bytes to encrypt all that is stored; several such keys, of which
            the first is for a new store; a function without arguments that returns either, and is
            asked when a key is needed; or "env" for the bytes in the environment variable
            LANGGRAPH_AES_KEY. None makes a store without encryption, and opens one that has it
            with the key in LANGGRAPH_AES_KEY.
        clock: Gives the time in seconds since the epoch.

    Raises:
        InvalidPathError: The path is a file, cannot be written, or holds something else.
        FormatVersionError: A newer release made the store.
        DamagedError: The store is damaged.
        MissingKeyError: The store is encrypted, and there is no key.
        WrongKeyError: The store is encrypted with another key.
        NotEncryptedError: There is a key, and the store is not encrypted.
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
        if compression is not None and not 1 <= compression <= 22:
            raise UsageError(
                f"compression={compression!r}", advice="Use a level from 1 to 22, or None."
            )
        if cache_size < 0:
            raise UsageError(f"cache_size={cache_size!r}", advice="Use bytes, or 0 for no cache.")
        rules = retention.policy(ttl)
        kv = LmdbStore.open(path, sync=sync, map_size=map_size, readonly=readonly)
        try:
            plain = opening.open_encrypted(kv, encryption_key)
            self._set_up(plain, serde, rules, compression, cache_size, clock)
        except BaseException as error:
            kv.close()
            if isinstance(error, LmdbSaverError):
                serializer.add_location(error, path=os.fspath(path))
            raise

    def _set_up(
        self,
        kv: KeyValueStore,
        serde: SerializerProtocol | None,
        rules: Policy,
        compression: int | None,
        cache_size: int,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(serde=serde)
        self._kv = kv
        self._commit = GroupCommit(kv)
        options = StoreOptions(
            level=compression,
            clock=clock,
            is_ephemeral=configs.is_ephemeral,
            is_subgraph_call=configs.is_subgraph_call,
            retention=rules.retention,
        )
        store = CheckpointStore(kv, options, cache_size // _BYTES_PER_HINT)
        self._of_serde = Session(
            store,
            Housekeeping(kv, options),
            self._commit,
            self.serde,
            ValueCodec(self.serde, compression, cache_size, store.dedup_cache),
            _PARENT_CACHE_SIZE if cache_size else 0,
            rules.refresh_on_read and not kv.readonly,
        )
        self._swept = None
        if rules.interval is not None and not kv.readonly:
            self._swept = (kv.identity, self._of_serde)
            background.start(*self._swept, rules.interval)

    @classmethod
    def on(
        cls,
        kv: KeyValueStore,
        *,
        serde: SerializerProtocol | None = None,
        ttl: TTLConfig | None = None,
        compression: int | None = DEFAULT_LEVEL,
        cache_size: int = DEFAULT_CACHE_SIZE,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """A saver on any key-value store, such as `kv.memory.MemoryStore()` in tests."""
        saver = cls.__new__(cls)
        saver._set_up(kv, serde, retention.policy(ttl), compression, cache_size, clock)
        return saver

    @classmethod
    @contextmanager
    def from_conn_string(cls, conn_string: str | os.PathLike[str]) -> Iterator[Self]:
        """Open a saver for a `with` block, by the path of its folder."""
        with cls(conn_string) as saver:
            yield saver

    @property
    def _session(self) -> Session:
        if self._of_serde.serde is not self.serde:  # someone set another serialiser
            self._of_serde = self._of_serde.with_serde(self.serde)
        return self._of_serde

    def setup(self) -> None:
        """Do nothing: the store is ready once it is open. Other savers need this call."""

    def close(self) -> None:
        """Close the store. A second call does nothing; any other use raises StoreClosedError."""
        if self._swept is not None:
            background.stop(*self._swept)
        self._commit.close()
        self._kv.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that a config names, or else the latest of its thread and namespace.

        Args:
            config: With `thread_id`, and `checkpoint_ns` and `checkpoint_id` where wanted.

        Returns:
            The checkpoint with its metadata, parent and pending writes; None if there is none.

        Raises:
            InvalidConfigError: The config has no thread_id.
            DamagedError: The checkpoint is damaged.
            DeserializationError: The serialiser cannot rebuild a value.
        """
        session, ref = self._session, configs.parse_config(config)
        found = get.get_tuple(session, ref)
        refresh = None if found is None else get.refresh(session, ref.thread_id)
        if refresh is not None:
            with suppress(RetryableError):  # the read itself went well
                session.run(refresh)
        return found

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
        skip_damaged: bool = False,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints by descending id.

        The iterator holds nothing open between two steps: it may be paused, dropped, or continued
        in another thread. It shows each checkpoint whole, and none that was deleted meanwhile.

        Args:
            config: Whose checkpoints: of a thread, of one of its namespaces if it is named, or
                one checkpoint. None lists all threads.
            filter: Metadata that has to be equal.
            before: Only ids below the checkpoint id of this config.
            limit: At most so many.
            skip_damaged: Leave out, with a warning in the log, what cannot be read.

        Raises:
            DamagedError: A checkpoint is damaged, unless such are to be left out.
        """
        session, matches = self._session, get.metadata_filter(filter)
        read_one = get.get_or_skip if skip_damaged else get.get_tuple
        read = (
            read_one(session, ref, matches=matches)
            for ref in get.find_refs(session, config, before, filter, skip_damaged)
        )
        found = (checkpoint for checkpoint in read if checkpoint is not None)
        yield from islice(found, None if limit is None else max(limit, 0))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, in place of one with the same id.

        Args:
            config: Its thread and namespace; its `checkpoint_id` is the parent's.
            checkpoint: The checkpoint.
            metadata: Its metadata, to which those of the config are added.
            new_versions: The channels that changed, with their versions. The value of any other
                is the one stored for its version.

        Returns:
            The config that leads to the checkpoint.

        Raises:
            InvalidConfigError: The config has no thread_id.
            SerializationError: A value cannot be serialised; nothing is stored.
            StoreFullError: There is no room; nothing is stored.
            StoreBusyError: Another process keeps the write lock; nothing is stored.
            StoreReplacedError: The folder was removed, moved or replaced; nothing is stored.
        """
        session = self._session
        return session.run(put.put(session, config, checkpoint, metadata, new_versions))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store the writes of a task, pending for the checkpoint that the config names.

        A write that a task made before, that is at the same place among its writes, stays as it
        was. Errors, interrupts, resumes and schedules are replaced.

        Args:
            config: With `thread_id` and `checkpoint_id`; the checkpoint may be stored later.
            writes: Channels and values.
            task_id: The task.
            task_path: Where the task stands among those of its superstep; orders their writes.

        Raises:
            InvalidConfigError: The config has no thread_id or no checkpoint_id.
            SerializationError: A value cannot be serialised; nothing is stored.
            StoreFullError: There is no room; nothing is stored.
            StoreBusyError: Another process keeps the write lock; nothing is stored.
            StoreReplacedError: The folder was removed, moved or replaced; nothing is stored.
        """
        session = self._session
        session.run(put.put_writes(session, config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread: checkpoints, writes, and all values that no other thread shares.

        It is out of sight at once; a large one goes in several transactions.
        """
        session = self._session
        session.run_sequence(put.delete_thread(session, thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints whose metadata name these runs, with their writes.

        A checkpoint that stays, and whose parent goes, has no parent from then on. Channels that
        are rebuilt from the writes of their ancestors keep their state.
        """
        session = self._session
        session.run_sequence(put.delete_for_runs(session, run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all of a thread to a new one; the values are shared until one of them lets go.

        Raises:
            ThreadExistsError: The target has checkpoints.
        """
        session = self._session
        session.run(put.copy_thread(session, source_thread_id, target_thread_id))

    def prune(
        self,
        thread_ids: Sequence[str],
        *,
        strategy: str = "keep_latest",
        keep_last: int | None = None,
    ) -> None:
        """Delete old checkpoints of threads, each thread in a transaction of its own.

        What a kept checkpoint needs stays: its values, its pending writes, and the past of
        channels that are rebuilt from it. A kept checkpoint whose parent goes has no parent. The
        namespace of a subgraph's call goes with the root checkpoint that the call started from;
        a `checkpointer=True` subgraph keeps its own.

        Args:
            thread_ids: The threads; those that do not exist are no error.
            strategy: "keep_latest" keeps the latest checkpoint of each namespace, "delete" none.
            keep_last: How many to keep in each namespace, instead of one.

        Raises:
            TypeError: `thread_ids` is a single string.
            ValueError: The strategy is unknown, or `keep_last` is not a number above 0.
        """
        session = self._session
        session.run_sequence(put.prune(session, thread_ids, strategy, keep_last))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What channels are rebuilt from: writes along the parents of a checkpoint, oldest first,
        and the nearest stored value that they follow on. One walk serves all channels."""
        return get.delta_channel_history(self._session, config, channels)

    def get_next_version(self, current: Any, channel: None) -> Any:  # noqa: ARG002
        """The version after `current`, of the same type; integers from 1 on in a new thread."""
        if isinstance(current, str):
            number = int(current.split(".")[0]) + 1
            return f"{number:032}.{random.random():016}"  # noqa: S311 - as LangGraph's own savers
        return 1 if current is None else current + 1

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """The same store with a serialiser that allows more types; closing one closes both."""
        return super().with_allowlist(extra_allowlist)  # type: ignore[return-value]


# Hooks run in the order in which they are registered: those of the modules above came first.
os.register_at_fork(after_in_child=background.after_fork)
