"""`LmdbSaver`: LangGraph checkpoints in an LMDB store."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from langgraph.checkpoint.lmdb import assembly, opening, validation, wanted
from langgraph.checkpoint.lmdb.aio import AsyncMethods
from langgraph.checkpoint.lmdb.codec import serializer
from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.errors import LmdbSaverError, RetryableError
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
from langgraph.checkpoint.lmdb.kv.group_commit import GroupCommit
from langgraph.checkpoint.lmdb.kv.lmdb.store import DEFAULT_MAP_SIZE
from langgraph.checkpoint.lmdb.maintenance import Maintenance
from langgraph.checkpoint.lmdb.management import Management
from langgraph.checkpoint.lmdb.operations import background, configs, delete, get, put
from langgraph.checkpoint.lmdb.rekeying import Rekeying
from langgraph.checkpoint.lmdb.verifying import Verifying

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
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

    from langgraph.checkpoint.lmdb.assembly import Arguments
    from langgraph.checkpoint.lmdb.encryption.key_source import EncryptionKey
    from langgraph.checkpoint.lmdb.operations.retention import TTLConfig
    from langgraph.checkpoint.lmdb.operations.session import Session

DEFAULT_CACHE_SIZE = 64 << 20
# Higher levels make small records a tenth smaller, in several times the time:
# `python -m benches.dictionary`.
DEFAULT_LEVEL = 3


class LmdbSaver(opening.Open, AsyncMethods, Management, Rekeying, Verifying, Maintenance):
    """Keeps LangGraph checkpoints in a folder, for any number of threads, tasks and processes.

    ```python
    graph = builder.compile(checkpointer=LmdbSaver("checkpoints"))
    ```

    The same object serves `invoke` and `ainvoke`. Savers on one path share one store. Call
    `close()` when a saver is not used any more, or use it in a `with` block. One that is dropped is
    closed when it is collected, with a ResourceWarning.

    Args:
        path: The folder of the store; made, for its owner alone, if it is not there. A `~` in
            front is the user's home. ":memory:" is a store of its own in memory, which ends with
            the saver.
        serde: How values are serialised; LangGraph's JsonPlusSerializer unless told. With exactly
            that one, a list of messages costs what is new in it. A value that did not change is
            not stored again if the serializer makes the same bytes of it, or is LangGraph's
            EncryptedSerializer on one that does.
        ttl: For how long what is kept, a `TTLConfig`: minutes after which an idle thread goes, how
            much history to keep, and how often to sweep in the background. None: for ever.
        sync: When a call returns, "full": it survives a power cut; "normal": the last calls may
            be lost to a power cut, the store stays whole; "off": a power cut may damage the
            store. None of them loses anything when only the process dies.
        compression: zstd's level, 1 to 22; None stores without compression.
        cache_size: Bytes of memory that may be used, about, to remember the latest values of each
            channel, and the writes that a `DeltaChannel` is rebuilt from, so that what did not
            change is not read again, and messages that did not change are neither serialized nor
            rebuilt again. 0 remembers nothing.
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
        InvalidPathError: The path is a file or a connection string, cannot be written, or holds
            something else.
        UsageError: Another argument is not what it must be.
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
        checked = assembly.checked(serde, ttl, compression, cache_size, clock)
        kv = opening.store(path, sync=sync, map_size=map_size, readonly=readonly)
        try:
            self._set_up(open_encrypted(kv, encryption_key), checked)
        except BaseException as error:
            kv.close()
            if isinstance(error, LmdbSaverError):
                serializer.add_location(error, path=os.fspath(path))
            raise

    def _set_up(self, kv: KeyValueStore, given: Arguments) -> None:
        super().__init__(serde=given.serde)
        self._kv = kv
        self._commit = GroupCommit(kv)
        self._of_serde = assembly.session(kv, self._commit, self.serde, given)
        self._swept = None
        if given.policy.sweep_interval is not None and not kv.readonly:
            self._swept = (kv.identity, self._of_serde)
            background.start(*self._swept, given.policy.sweep_interval)

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
        if not isinstance(kv, KeyValueStore):
            validation.refuse("kv", "a KeyValueStore", kv)
        checked = assembly.checked(serde, ttl, compression, cache_size, clock)
        saver = cls.__new__(cls)
        saver._set_up(kv, checked)
        return saver

    @classmethod
    def from_conn_string(
        cls, conn_string: str | os.PathLike[str], **arguments: Any
    ) -> opening.Opening[Self]:
        """Return what opens a saver for a `with` or an `async with` block, as other savers do.

        Args:
            conn_string: The path, as for `LmdbSaver`.
            arguments: Other arguments of `LmdbSaver`.

        Returns:
            A context manager; it gives the saver, and closes it at the end of the block.
        """
        return opening.Opening(lambda: cls(conn_string, **arguments))

    @property
    def _session(self) -> Session:
        if self._of_serde.serde is not self.serde:  # someone set another serialiser
            validation.serializer(self.serde)
            self._of_serde = self._of_serde.with_serde(self.serde)
        return self._of_serde

    @property
    def path(self) -> str | None:
        """Folder of the store; None for a store in memory."""
        return self._kv.folder

    def setup(self) -> Awaitable[None]:
        """Do nothing: the store is ready once it is open. Other savers need this call.

        Returns:
            What may be awaited, as the `setup` of asynchronous savers has to be.
        """
        return opening.Ready()

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
        session, matches = self._session, wanted.metadata(filter)
        count = wanted.at_most(limit)
        skip = validation.flag(skip_damaged, "skip_damaged")
        read_one = get.get_or_skip if skip else get.get_tuple
        read = (
            read_one(session, ref, matches=matches)
            for ref in get.find_refs(session, config, before, filter, skip)
        )
        found = (checkpoint for checkpoint in read if checkpoint is not None)
        yield from islice(found, count)

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
        return session.run(put.PutOperation(session, config, checkpoint, metadata, new_versions))

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
        session.run(put.PutWritesOperation(session, config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread: checkpoints, writes, and all values that no other thread shares.

        It is out of sight at once; a large one goes in several transactions. A thread with damaged
        records goes in one, which looks through all indexes of the store.

        Raises:
            UsageError: `thread_id` is None or a config.
            DamagedError: It cannot be told which records are the thread's.
        """
        session = self._session
        session.run_sequence(delete.delete_thread(session, thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints whose metadata name these runs, with their writes.

        A checkpoint that stays, and whose parent goes, has no parent from then on. Channels that
        are rebuilt from the writes of their ancestors keep their state.
        """
        session = self._session
        session.run_sequence(delete.delete_for_runs(session, run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all of a thread to a new one; the values are shared until one of them lets go.

        Raises:
            ThreadExistsError: The target has checkpoints.
        """
        session = self._session
        session.run(delete.copy_thread(session, source_thread_id, target_thread_id))

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
        session.run_sequence(delete.prune(session, thread_ids, strategy, keep_last))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What channels are rebuilt from: writes along the parents of a checkpoint, oldest first,
        and the nearest stored value that they follow on. One walk serves all channels."""
        return get.delta_channel_history(self._session, config, channels)

    def get_next_version(self, current: Any, channel: None) -> Any:  # noqa: ARG002
        """The version after `current`, of the same type; integers from 1 on in a new thread."""
        return configs.next_version(current)

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """The same store with a serialiser that allows more types; closing one closes both."""
        types = validation.allowlist(extra_allowlist)
        return super().with_allowlist(types)  # type: ignore[return-value]


# Hooks run in the order in which they are registered: those of the modules above came first.
os.register_at_fork(after_in_child=background.after_fork)
