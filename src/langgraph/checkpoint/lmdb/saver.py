"""`KvSaver`: LangGraph checkpoints in any key-value store, with every synchronous method."""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import suppress
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, NoReturn, SupportsIndex

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

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.aio import AsyncMethods, Ready
from langgraph.checkpoint.lmdb.encryption.key_source import EncryptionKey
from langgraph.checkpoint.lmdb.errors import LmdbSaverError, NotCopyableError, RetryableError
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Progress
from langgraph.checkpoint.lmdb.models import (
    Branch,
    StoreStats,
    SweepReport,
    TaskWrite,
    ThreadInfo,
    ThreadSort,
    TTLConfig,
    VerifyReport,
)
from langgraph.checkpoint.lmdb.operations import (
    background,
    configs,
    copying,
    delete,
    get,
    listing,
    maintenance,
    put,
    retention,
    threads,
)
from langgraph.checkpoint.lmdb.operations.session import Session, open_session
from langgraph.checkpoint.lmdb.run_state import State

DEFAULT_CACHE_SIZE = 64 << 20
"""Bytes."""
DEFAULT_LEVEL = 3
"""Level of zstd. Higher levels make small records a tenth smaller and take several times as long:
`python -m benches.dictionary`."""


class KvSaver(AsyncMethods):
    """A LangGraph checkpointer on a key-value store.

    A subclass for a kind of store only opens it, as `LmdbSaver` does. Each method that may wait
    has an asynchronous version with an `a` before its name.

    Args:
        kv: The store, or a function that opens it, called after the other arguments were checked.
        serde: As for `LmdbSaver`, like all other arguments.

    Raises:
        UsageError: An argument is invalid.
        FormatVersionError: A newer release wrote the store.
        DamagedError: The store is damaged.
    """

    def __init__(
        self,
        kv: KeyValueStore | Callable[[], KeyValueStore],
        *,
        serde: SerializerProtocol | None = None,
        ttl: TTLConfig | None = None,
        compression: int | None = DEFAULT_LEVEL,
        cache_size: int = DEFAULT_CACHE_SIZE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(kv, KeyValueStore) and not callable(kv):
            validation.refuse("kv", "a KeyValueStore or a function that opens one", kv)
        if serde is not None:
            validation.serializer(serde)
        if compression is not None:
            compression = validation.count(compression, "compression", "a level (or None)", 1, 22)
        size = validation.count(cache_size, "cache_size", "bytes")
        validation.function(clock, "clock")
        policy = retention.parse_ttl(ttl)
        super().__init__(serde=serde)
        self._kv = kv if isinstance(kv, KeyValueStore) else kv()
        try:
            self._of_serde = open_session(self._kv, self.serde, policy, compression, size, clock)
            self._swept = None
            if policy.sweep_interval is not None and not self._kv.readonly:
                self._swept = (self._kv.identity, self._of_serde)
                background.start(*self._swept, policy.sweep_interval)
        except BaseException as error:
            if self._kv is not kv:
                self._kv.close()
            if isinstance(error, LmdbSaverError):
                error.add_location(path=self._kv.folder)
            raise

    @property
    def _session(self) -> Session:
        if self._of_serde.serde is not self.serde:  # the attribute was set
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
            An object that may be awaited, like `setup` of asynchronous savers.
        """
        return Ready()

    def close(self) -> None:
        """Close the store. A second call does nothing; any other use raises StoreClosedError."""
        if self._swept is not None:
            background.stop(*self._swept)
        self._of_serde.close()
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

    def __copy__(self) -> Self:
        """Return another saver on the same store; closing one closes both."""
        clone = self.__class__.__new__(self.__class__)
        clone.__dict__.update(self.__dict__)
        return clone

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        raise NotCopyableError("a saver cannot be deep-copied: its store is open in this process")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise NotCopyableError("a saver cannot be pickled: its store is open in this process")

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """Return a saver on the same store whose serializer allows more types.

        Closing one of them closes both.
        """
        types = validation.allowlist(extra_allowlist)
        return super().with_allowlist(types)  # type: ignore[return-value]

    def get_next_version(self, current: Any, channel: None) -> Any:  # noqa: ARG002
        """Return the version after `current`, of the same type; 1 if `current` is None."""
        return configs.next_version(current)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that a config names, or the latest of its thread and namespace.

        Args:
            config: A config with `thread_id`, and optionally `checkpoint_ns` and `checkpoint_id`.

        Returns:
            The checkpoint with its metadata, parent and pending writes, or None if it is missing.

        Raises:
            InvalidConfigError: The config has no thread_id.
            DamagedError: The checkpoint is damaged.
            DeserializationError: The serializer cannot rebuild a value.
        """
        session, ref = self._session, configs.parse_config(config)
        found = get.get_tuple(session, ref)
        refresh = None if found is None else get.refresh(session, ref.thread_id)
        if refresh is not None:
            with suppress(RetryableError):  # the read itself succeeded
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
        values: bool = True,
    ) -> Iterator[CheckpointTuple]:
        """Yield checkpoints by descending id.

        The iterator holds no transaction between two steps: it may be paused, dropped, or continued
        in another thread. It yields complete checkpoints. On LMDB, it yields none that was deleted
        before its step.

        Args:
            config: The thread; or one of its namespaces, if the config has a `checkpoint_ns`; or
                one checkpoint, if it has a `checkpoint_id`. None: all threads.
            filter: Metadata that the checkpoints must have, with equal values.
            before: A config; only checkpoints with an id below its `checkpoint_id` are listed.
            limit: The highest number of checkpoints.
            skip_damaged: True: omit damaged checkpoints, with a warning in the log.
            values: False: decode only the values that the state of a run depends on: channels that
                start nodes, errors, interrupts and answers. Other values are None.

        Raises:
            DamagedError: A checkpoint is damaged, and `skip_damaged` is False.
        """
        session = self._session
        query = listing.parse_query(config, filter, before, limit, skip_damaged, values)
        found = listing.read(session, listing.find_refs(session, query), query)
        yield from islice(found, query.limit)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint. It replaces a checkpoint with the same id.

        Args:
            config: The thread and namespace; its `checkpoint_id` is the parent's.
            checkpoint: The checkpoint.
            metadata: The metadata, to which the metadata of the config are added.
            new_versions: The versions of the channels that changed. A channel that is neither here
                nor in the checkpoint's values keeps the value stored for its version.

        Returns:
            The config of the checkpoint.

        Raises:
            InvalidConfigError: The config has no thread_id.
            SerializationError: A value cannot be serialized; nothing is stored.
            StoreFullError: The disk is full; nothing is stored.
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
        """Store the pending writes of a task for the checkpoint that a config names.

        A write with an index that the task has already used is ignored. Errors, interrupts,
        resumes and schedules are replaced instead.

        Args:
            config: A config with `thread_id` and `checkpoint_id`. The checkpoint may be stored
                later.
            writes: Channels and values.
            task_id: The id of the task.
            task_path: The path of the task within its superstep, which orders the writes of tasks.

        Raises:
            InvalidConfigError: The config has no thread_id or no checkpoint_id.
            SerializationError: A value cannot be serialized; nothing is stored.
            StoreFullError: The disk is full; nothing is stored.
            StoreBusyError: Another process keeps the write lock; nothing is stored.
            StoreReplacedError: The folder was removed, moved or replaced; nothing is stored.
        """
        session = self._session
        session.run(put.PutWritesOperation(session, config, writes, task_id, task_path))

    def _put_with_writes(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        calls: Iterable[tuple[str, str, Sequence[tuple[str, Any]]]],
    ) -> RunnableConfig:
        """Store a checkpoint, and then its pending writes, in one commit. For migrations.

        Args:
            config: As for `put`, like the next three.
            checkpoint: The checkpoint.
            metadata: Its metadata.
            new_versions: The versions of the channels that changed.
            calls: Task id, task path, and writes, for each call of `put_writes`.
        """
        session = self._session
        putting = put.PutOperation(session, config, checkpoint, metadata, new_versions)
        return session.run(put.PutWithWritesOperation(session, putting, calls))

    def writes(self, config: RunnableConfig) -> builtins.list[TaskWrite]:
        """Return the pending writes of a checkpoint, in the order in which they apply.

        `get_tuple` returns the same writes without task path and index.

        Args:
            config: The checkpoint, as for `get_tuple`. With a `checkpoint_id`, the writes of a
                checkpoint that is not stored yet are returned too.

        Raises:
            InvalidConfigError: The config has no thread_id.
            DamagedError: A write is damaged.
            DeserializationError: The serializer cannot rebuild a value.
        """
        return get.writes(self._session, configs.parse_config(config))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what `DeltaChannel` values are rebuilt from.

        Returns:
            For each channel, the writes along the ancestors of the checkpoint, oldest first, and
            the stored value before them, if one exists. One walk serves all channels.
        """
        return get.delta_channel_history(self._session, config, channels)

    def history(
        self, config: RunnableConfig, *, skip_damaged: bool = False, values: bool = True
    ) -> Iterator[CheckpointTuple]:
        """Yield a checkpoint, its parent, and so on to the first, without other branches.

        Args:
            config: The checkpoint, as for `get_tuple`.
            skip_damaged: True: omit checkpoints with damaged values, with a warning in the log, and
                end at a checkpoint with an unreadable parent.
            values: As for `list`.

        Raises:
            DamagedError: A checkpoint is damaged, and `skip_damaged` is False.
        """
        session = self._session
        query = listing.parse_query(None, None, None, None, skip_damaged, values)
        yield from listing.read(session, threads.lineage(session, config, skip_damaged), query)

    def children(self, config: RunnableConfig) -> builtins.list[CheckpointTuple]:
        """Return the children of the checkpoint that a config names, by descending id."""
        session = self._session
        refs = iter(threads.children(session, config))
        return [*listing.read(session, refs, listing.Query())]

    def branches(self, thread_id: str, checkpoint_ns: str = "") -> builtins.list[Branch]:
        """Return the branches of a namespace, by descending id of their tips.

        A branch is a line of checkpoints that ends in one without children. This reads the keys of
        the checkpoints, not the checkpoints.
        """
        return threads.branches(self._session, thread_id, checkpoint_ns)

    def fork(self, config: RunnableConfig, thread_id: str) -> RunnableConfig:
        """Create a thread from a checkpoint and its ancestors.

        The new thread has their pending writes and the checkpoints of the subgraphs that they
        called. It shares the values of its source.

        Args:
            config: A checkpoint of the root namespace, as for `get_tuple`.
            thread_id: The new thread.

        Returns:
            The config of the checkpoint in the new thread.

        Raises:
            CheckpointNotFoundError: The checkpoint does not exist.
            ThreadExistsError: The new thread has checkpoints.
            InvalidConfigError: The config names another namespace, or no thread.
        """
        session = self._session
        return session.run(copying.fork(session, config, thread_id))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread to a new one. The threads share values until one of them drops them.

        Raises:
            ThreadExistsError: The target has checkpoints.
        """
        session = self._session
        session.run(copying.copy_thread(session, source_thread_id, target_thread_id))

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread: checkpoints, writes, and all values that no other thread shares.

        It is hidden immediately; a large thread is deleted in several transactions. A thread with
        damaged records is deleted in one transaction, which reads all indexes of the store.

        Raises:
            UsageError: `thread_id` is None or a config.
            DamagedError: The records of the thread cannot be identified.
        """
        session = self._session
        session.run_sequence(delete.delete_thread(session, thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints whose metadata have one of these run ids, with their writes.

        A kept checkpoint whose parent is deleted has no parent afterwards. Channels that are
        rebuilt from the writes of ancestors keep their state.
        """
        session = self._session
        session.run_sequence(delete.delete_for_runs(session, run_ids))

    def prune(
        self,
        thread_ids: Sequence[str],
        *,
        strategy: str = "keep_latest",
        keep_last: int | None = None,
    ) -> None:
        """Delete old checkpoints of threads, in one transaction per thread.

        A kept checkpoint keeps its values, its pending writes, and the writes of ancestors that
        channels are rebuilt from. It has no parent if its parent is deleted. The namespace of a
        subgraph call is deleted with the root checkpoint that called it; a subgraph compiled with
        `checkpointer=True` keeps its namespace.

        Args:
            thread_ids: The threads. Missing threads are ignored.
            strategy: "keep_latest" keeps the latest checkpoint of each namespace; "delete" deletes
                the threads.
            keep_last: The number of checkpoints to keep in each namespace, 1 by default.

        Raises:
            TypeError: `thread_ids` is a single string.
            ValueError: The strategy is unknown, or `keep_last` is not a number above 0.
        """
        session = self._session
        session.run_sequence(delete.prune(session, thread_ids, strategy, keep_last))

    def threads(
        self,
        prefix: str | None = None,
        updated_after: datetime | float | None = None,
        updated_before: datetime | float | None = None,
        limit: int | None = None,
        after: ThreadInfo | str | None = None,
        *,
        state: State | Collection[State] | None = None,
        sort: ThreadSort = "updated",
        reverse: bool = False,
        details: bool = True,
        skip_damaged: bool = False,
    ) -> builtins.list[ThreadInfo]:
        """Return the threads with checkpoints, the latest activity first.

        A state other than "complete" is looked up in an index: threads in other states are not
        read.

        Args:
            prefix: The prefix of their ids.
            updated_after: A time; only threads with activity after it are returned: seconds since
                the epoch, or a timezone-aware datetime.
            updated_before: A time; only threads without activity from then on are returned.
            limit: The highest number of threads.
            after: The end of the page before: its last ThreadInfo, or the id of that thread.
            state: "failed", "waiting", "stalled", "unknown" or "complete", or a list of these; only
                threads whose run is in such a state are returned.
            sort: The field of ThreadInfo to sort by: "updated", "created", "checkpoints" or
                "bytes", the largest first, or "thread_id". Orders other than "updated" read the
                record of each thread that the other arguments admit.
            reverse: True: turn the order around.
            details: False: leave `namespaces`, `step`, `source` and `next` empty, which take a read
                of each thread's latest checkpoint.
            skip_damaged: True: omit damaged threads, with a warning in the log. This reads every
                thread.

        Raises:
            UsageError: The limit, a time, a state or the order is invalid.
            ThreadNotFoundError: `after` is the id of a deleted thread.
            DamagedError: A thread is damaged, and `skip_damaged` is False.
        """
        query = threads.parse_query(
            prefix,
            updated_after,
            updated_before,
            limit,
            state,
            sort,
            reverse,
            details,
            skip_damaged,
        )
        return threads.threads(self._session, query, after)

    def _threads_without_checkpoints(self) -> builtins.list[str]:
        """Return the ids of the threads that have only pending writes. For migrations."""
        return threads.without_checkpoints(self._session)

    def _early_writes(self, thread_id: str) -> builtins.list[tuple[str, str | None]]:
        """Return namespace and id of each checkpoint that is not stored, but has pending writes.
        For migrations."""
        return threads.early_writes(self._session, thread_id)

    def stats(self) -> StoreStats:
        """Return the totals of the store, which it counts, and its size on disk."""
        return threads.stats(self._session)

    def set_ttl(self, thread_id: str, minutes: float | None) -> None:
        """Give a thread its own TTL, which starts at its last activity.

        Args:
            thread_id: The thread.
            minutes: The TTL; fractions are allowed. None: the thread never expires.

        Raises:
            ThreadNotFoundError: The thread does not exist.
            UsageError: `minutes` is not above 0 and below a thousand years.
        """
        session = self._session
        session.run(retention.set_ttl(session, thread_id, minutes))

    def sweep(
        self,
        now: datetime | float | None = None,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> SweepReport:
        """Delete what has expired by the saver's `ttl` and by `set_ttl`.

        A sweep uses small transactions: other threads and processes may write while it runs, and
        it may be stopped at any time. It reads only what is due.

        Args:
            now: The time to sweep for, by default the time of the saver's clock: seconds since the
                epoch, or a timezone-aware datetime.
            limit: The highest number of threads to sweep.
            dry_run: True: delete nothing, and report what would be deleted.
        """
        session = self._session
        return session.run_sequence(retention.sweep(session, now, limit, dry_run))

    def backup(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """Copy one snapshot of the store to a new folder.

        This process and others may use the store while the backup runs. When this returns, the copy
        is complete, on disk, and private to its owner. It has no free pages, so it may be smaller
        than the store. To restore it, open it, or move it to the path of a store that no process
        has open.

        While the backup runs, a hidden folder beside `path` holds the copy. Its name ends in
        `.part`, and it cannot be opened as a store. An error or an interrupt deletes it. If the
        process is killed, delete it yourself.

        The copy is one long read: freed space is not reused while it runs, so the store's file
        grows by all that is written. `os.fork()` waits up to 30 seconds for it, as for any read. A
        child that is forked after that cannot use the savers that it inherits.

        Args:
            path: The folder, which must not exist, not even as an empty folder.
            progress: A function to call with the bytes written so far and the total bytes. It must
                not use savers on this store. An exception that it raises ends the backup.

        Raises:
            InvalidPathError: The path exists, or cannot be created.
            StoreFullError: The disk is full.
            StoreIOError: Reading or writing failed; the copy is deleted.
            UsageError: The store has no files.
        """
        maintenance.backup(self._session, path, progress)

    def compact(self) -> int:
        """Return unused space to the file system while the store is in use.

        The file keeps its length, and its free pages lose their blocks: `du` shows the difference,
        `ls -l` does not. Readers are not blocked; writers are, for some milliseconds at a time.
        Space that an open snapshot still uses is kept: call this again later. Nothing is moved, and
        a process that is killed while this runs leaves the store as it was.

        Later commits that fill this space are as slow as commits that extend the file. So compact
        after large deletions, not after each one: new checkpoints reuse free space anyway.

        Returns:
            The approximate number of bytes; other processes may have written while this ran.

        Raises:
            UsageError: The file system cannot free parts of a file, or the store has no files.
            ReadOnlyError: The store was opened for reading.
        """
        return maintenance.compact(self._session)

    def verify(self, *, repair: bool = False, progress: Progress | None = None) -> VerifyReport:
        """Check the whole store: pages, records, references in both directions, indexes, counts.

        This is safe on a store in use: each thread is checked in its own snapshot. The check of the
        pages is one long read, during which freed space is not reused. It needs lmdb 3.0 or later;
        the report says if it was omitted. If pages are damaged, records are neither checked nor
        repaired, since LMDB may end the process that reads them. Values are not decoded.

        A repair rebuilds all indexes and counts from the records. It removes records that cannot be
        read, and records that need them, and first copies their bytes to a new file beside the
        store, `quarantine-<n>.jsonl`. A checkpoint with any damage is removed with its pending
        writes; its children are kept. If a removed record is part of the history of a channel,
        `get_delta_channel_history` raises DamagedError afterwards. If a repair is interrupted, the
        next one completes it.

        That file has no data of threads that were deleted before. Deleting a thread later does not
        change the file: delete it when it is no longer needed.

        Args:
            repair: True: repair the store.
            progress: A function to call with the number of checked threads and of all threads. It
                must not use savers on this store.

        Returns:
            The problems and their outcomes: `ok`, `problems`, `lost`, `to_dict()`.

        Raises:
            FormatVersionError: A newer release wrote some of the records to repair.
            ReadOnlyError: The store to repair was opened for reading.
            StoreFullError: The disk has no room for the quarantine file.
        """
        return maintenance.verify(self._session, repair, progress)

    def rotate_key(self, new_key: EncryptionKey) -> None:
        """Change the key of an encrypted store while it is in use.

        All values are encrypted again, in small transactions, while this process and others read
        and write. Both keys open the store until this returns. After that, processes with only the
        old key get WrongKeyError. If this is interrupted, call it again with the same key. Free
        pages keep data encrypted with the old key until they are reused.

        Args:
            new_key: A key, as `encryption_key` of `LmdbSaver`; of several keys, the first. The
                store's present key renews only the keys derived from it.

        Raises:
            NotEncryptedError: The store is not encrypted.
            UsageError: The key is invalid, or the store is changing to another key.
        """
        session = self._session
        session.run_sequence(maintenance.rotate_key(session, new_key))

    def copy_store(
        self, path: str | os.PathLike[str], *, encryption_key: EncryptionKey | None
    ) -> None:
        """Copy one snapshot of the store to a new folder, with another encryption.

        To encrypt a store, copy it, open the copy with the key, and delete the original. An error
        or an interrupt deletes the copy. If the process is killed, delete the hidden folder beside
        `path` whose name ends in `.part`.

        Args:
            path: The folder of the new store, which must not exist, not even as an empty folder.
            encryption_key: The key of the copy, as for `LmdbSaver`. None: the copy is not
                encrypted.

        Raises:
            InvalidPathError: The path exists, or cannot be created.
            StoreClosedError: The saver is closed.
            StoreFullError: The disk is full.
        """
        maintenance.copy_store(self._session, path, encryption_key)
