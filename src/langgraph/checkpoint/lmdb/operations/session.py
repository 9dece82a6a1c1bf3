"""What both faces of the saver stand on: operations that a thread runs or a coroutine awaits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar, cast

from langgraph.checkpoint.lmdb.codec.value_codec import ValueCodec
from langgraph.checkpoint.lmdb.engine import checkpoints, threads
from langgraph.checkpoint.lmdb.engine.options import RetentionPolicy, StoreOptions
from langgraph.checkpoint.lmdb.engine.store import CheckpointStore, StaleError
from langgraph.checkpoint.lmdb.engine.sweep import Rollback
from langgraph.checkpoint.lmdb.errors import DamagedError, LmdbSaverError
from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.group_commit import GroupCommit
from langgraph.checkpoint.lmdb.kv.locks import Lock
from langgraph.checkpoint.lmdb.operations import configs

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from langgraph.checkpoint.serde.base import SerializerProtocol

    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord, Version
    from langgraph.checkpoint.lmdb.engine.chunks import StoredValue, ThreadVersion
    from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer
    from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef

_PARENT_CACHE_SIZE = 512
_BYTES_PER_DEDUP_ENTRY = 2048
"""Bytes of the cache size for each entry of the dedup cache. An entry takes about 300 bytes, so
that the dedup cache adds a seventh at most."""

R = TypeVar("R")
T = TypeVar("T")


class Operation(ABC, Generic[R, T]):
    """A change to the store: prepared outside any transaction, applied in one."""

    can_wait: ClassVar[bool] = False
    """True if the operation may wait a moment for others to commit with."""
    is_detached: bool = False
    """True if the caller may not wait for the result, so that reads wait for the operation."""

    @abstractmethod
    def prepare(self, bypass_cache: bool) -> None:
        """Encode what is to be stored. A retry after a stale cache entry bypasses the cache."""

    @abstractmethod
    def apply(self, writer: Writer) -> R:
        """Make the change in a write transaction. It may run more than once."""

    @abstractmethod
    def finish(self, result: R) -> T:
        """Return the operation's result, after the commit."""


class _SimpleOperation(Operation[R, T]):
    """An operation that needs no preparation."""

    def __init__(self, apply: Callable[[Writer], R], finish: Callable[[R], T]) -> None:
        self._apply = apply
        self._finish = finish

    def prepare(self, bypass_cache: bool) -> None:
        pass

    def apply(self, writer: Writer) -> R:
        return self._apply(writer)

    def finish(self, result: R) -> T:
        return self._finish(result)


def simple(
    apply: Callable[[Writer], R], finish: Callable[[R], Any] = lambda result: result
) -> Operation[R, Any]:
    """Return an operation that needs no preparation.

    Args:
        apply: The change.
        finish: Function that makes the operation's result of what `apply` returned.
    """
    return _SimpleOperation(apply, finish)


Operations: TypeAlias = "Generator[Operation[Any, Any], Any, T]"
"""Operations that depend on one another: each is told what the one before came to."""


@dataclass(frozen=True, slots=True)
class ParentState:
    """What a new checkpoint or write needs to know of the checkpoint that it follows."""

    thread_version: ThreadVersion | None
    """None: there is no such thread yet."""
    record: CheckpointRecord | None
    """None: the store does not have the checkpoint."""

    @property
    def versions(self) -> Mapping[str, Version]:
        return {} if self.record is None else self.record.versions

    @property
    def values(self) -> Mapping[str, StoredValue]:
        return {} if self.record is None else self.record.values


class ParentCache:
    """The views of the checkpoints seen last.

    Args:
        limit: How many.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.renew()
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Start empty in a forked child: another thread may have been changing it."""
        self._lock = Lock()
        self._parents: OrderedDict[CheckpointRef, ParentState] = OrderedDict()

    def get(self, ref: CheckpointRef) -> ParentState | None:
        if self._lock.is_held():  # by the code that this call interrupts
            return None
        with self._lock:
            return self._parents.get(ref)

    def put(self, ref: CheckpointRef, parent_state: ParentState) -> None:
        if self._lock.is_held():
            return
        with self._lock:
            self._parents[ref] = parent_state
            self._parents.move_to_end(ref)
            if len(self._parents) > self.limit:
                self._parents.popitem(last=False)


def open_session(
    kv: KeyValueStore,
    serde: SerializerProtocol,
    retention: RetentionPolicy,
    level: int | None,
    cache_size: int,
    clock: Callable[[], float],
) -> Session:
    """Return the session of a saver on an open key-value store."""
    if kv.readonly:
        retention = replace(retention, refresh_on_read=False)
    options = StoreOptions(
        level=level,
        clock=clock,
        is_ephemeral=configs.is_ephemeral,
        is_subgraph_call=configs.is_subgraph_call,
        retention=retention,
    )
    commit = GroupCommit(kv)
    store = CheckpointStore(kv, options, cache_size // _BYTES_PER_DEDUP_ENTRY)
    codec = ValueCodec(serde, level, cache_size, store.dedup_cache)
    return Session(kv, store, commit, serde, codec, _PARENT_CACHE_SIZE if cache_size else 0)


class Session:
    """A checkpoint store, a serialiser, and what is remembered of both.

    Args:
        kv: The key-value store.
        store: The checkpoint store on it.
        commit: The group commit, which runs write operations.
        serde: The serialiser for all that users put into checkpoints.
        codec: Encodes channel values with that serialiser.
        views: How many checkpoints to remember.
    """

    def __init__(
        self,
        kv: KeyValueStore,
        store: CheckpointStore,
        commit: GroupCommit,
        serde: SerializerProtocol,
        codec: ValueCodec,
        parent_cache: int,
    ) -> None:
        self.kv = kv
        self.store = store
        self.codec = codec
        self.serde = serde
        self.parent_cache = ParentCache(parent_cache)
        self._commit = commit

    @property
    def options(self) -> StoreOptions:
        return self.store.options

    def with_serde(self, serde: SerializerProtocol) -> Session:
        """The same store seen through another serialiser."""
        return Session(
            self.kv,
            self.store,
            self._commit,
            serde,
            self.codec.with_serde(serde),
            self.parent_cache.limit,
        )

    def close(self) -> None:
        """Reject all later operations."""
        self._commit.close()

    def snapshot(self) -> Snapshot:
        """A view of the store with all that this saver's callers have asked for and no longer wait
        for."""
        self._commit.settle()
        return self.store.snapshot()

    async def settle(self) -> None:
        """Let a snapshot that a coroutine takes next have nothing to wait for."""
        await self._commit.settle_async()

    def add_location(self, error: DamagedError) -> DamagedError:
        """Say which thread, namespace and checkpoint are damaged, as far as that can be told."""
        with suppress(LmdbSaverError, ValueError), self.store.snapshot() as snapshot:
            for name, value in snapshot.describe_key(bytes.fromhex(error.record or "")).items():
                if getattr(error, name) is None:
                    setattr(error, name, value)
        return error

    def run(self, operation: Operation[Any, T]) -> T:
        """Carry out an operation; it is durable when this returns."""
        bypass_cache = False
        while True:
            try:
                operation.prepare(bypass_cache)
                result = self._commit.run(operation.apply, can_wait=operation.can_wait)
            except StaleError:
                bypass_cache = True
                continue
            except DamagedError as error:
                raise self.add_location(error)  # noqa: B904
            return operation.finish(result)

    async def run_async(self, operation: Operation[Any, T]) -> T:
        """The same for a coroutine. All serialising is done before the first await."""
        bypass_cache = False
        while True:
            try:
                operation.prepare(bypass_cache)
                result = await self._commit.run_async(
                    operation.apply, can_wait=operation.can_wait, detached=operation.is_detached
                )
            except StaleError:
                bypass_cache = True
                continue
            except DamagedError as error:
                raise self.add_location(error)  # noqa: B904
            return operation.finish(result)

    def run_sequence(self, operations: Operations[T]) -> T:
        """Carry out operations one after another; returns what they come to."""
        send: Callable[[Any], Operation[Any, Any]] = operations.send
        value: Any = None
        while True:
            try:
                operation = send(value)
            except StopIteration as stop:
                return cast("T", stop.value)
            try:
                send, value = operations.send, self.run(operation)
            except (LmdbSaverError, Rollback) as error:
                send, value = operations.throw, error

    async def run_sequence_async(self, operations: Operations[T]) -> T:
        """The same for a coroutine."""
        send: Callable[[Any], Operation[Any, Any]] = operations.send
        value: Any = None
        while True:
            try:
                operation = send(value)
            except StopIteration as stop:
                return cast("T", stop.value)
            try:
                send, value = operations.send, await self.run_async(operation)
            except (LmdbSaverError, Rollback) as error:
                send, value = operations.throw, error

    def parent_state(
        self, ref: CheckpointRef, bypass_cache: bool, root: str | None = None
    ) -> ParentState:
        """What is known of a checkpoint; nothing of one that the store does not have.

        What follows a checkpoint of an expired thread brings it back to life: there it is seen.

        Args:
            root: The checkpoint of the root namespace that it was called from.
        """
        if not bypass_cache and ref.checkpoint_id is not None:
            known = self.parent_cache.get(ref)
            if known is not None:
                return known
        with self.store.snapshot() as snapshot:
            thread, expired = snapshot.thread_of_any_age(ref.thread_id)
            if thread is None:
                return ParentState(None, None)
            namespace = threads.find_namespace(snapshot.reader, thread, ref.checkpoint_ns)
            record = None
            if namespace is not None and ref.checkpoint_id is not None:
                record = checkpoints.read(snapshot.reader, namespace, ref.checkpoint_id)
            if expired and record is None and not snapshot.has_root(thread, root):
                return ParentState(None, None)
            return ParentState(thread.thread_version, record)

    @contextmanager
    def snapshot_of(
        self, thread_id: str, thread_version: ThreadVersion | None
    ) -> Iterator[Snapshot]:
        """A view of the store in which what was learned of a thread still holds.

        Raises:
            StaleError: It does not hold any more.
        """
        with self.store.snapshot() as snapshot:
            thread, _ = snapshot.thread_of_any_age(thread_id)
            if thread is None or thread.thread_version != thread_version:
                raise StaleError
            yield snapshot
