"""Operations, which a thread runs or a coroutine awaits, and the session that runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar, cast

from langgraph.checkpoint.lmdb.codec.value_codec import ValueCodec
from langgraph.checkpoint.lmdb.engine import checkpoints, namespaces
from langgraph.checkpoint.lmdb.engine.chunks import ThreadVersion
from langgraph.checkpoint.lmdb.engine.dedup_cache import DedupCache
from langgraph.checkpoint.lmdb.engine.options import RetentionPolicy, StateOf, StoreOptions
from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
from langgraph.checkpoint.lmdb.engine.store import CheckpointStore, StaleError
from langgraph.checkpoint.lmdb.errors import DamagedError, LmdbSaverError
from langgraph.checkpoint.lmdb.kv.base import Gather, KeyValueStore, Writer
from langgraph.checkpoint.lmdb.kv.commit_lanes import CommitLanes
from langgraph.checkpoint.lmdb.operations import configs, run_states
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
from langgraph.checkpoint.lmdb.operations.location import located
from langgraph.checkpoint.lmdb.operations.parent_cache import ParentCache, ParentState

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

_PARENT_CACHE_SIZE = 512
_BYTES_PER_DEDUP_ENTRY = 2048
"""Bytes of the cache size for each entry of the dedup cache. An entry takes about 300 bytes, so
that the dedup cache adds a seventh at most."""

R = TypeVar("R")
T = TypeVar("T")


class Operation(ABC, Generic[R, T]):
    """A change to the store: prepared and encoded outside any transaction, applied in one."""

    can_wait: ClassVar[bool] = False
    """True if the operation may wait a moment for others to commit with."""
    is_detached: bool = False
    """True if the caller may not wait for the result, so that reads wait for the operation."""
    thread_id: str | None = None
    """The thread that the operation changes. None: it changes others, or several."""
    new_checkpoint: CheckpointRef | None = None
    """The checkpoint that the operation stores."""

    @abstractmethod
    def prepare(self, bypass_cache: bool) -> None:
        """Serialize what is to be stored: nothing that the caller may change is read later.

        A retry after a stale cache entry bypasses the cache.
        """

    def encode(self) -> None:
        """Encode what was serialized, in any thread. It may run more than once."""

    @abstractmethod
    def apply(self, writer: Writer) -> R:
        """Make the change in a write transaction. It may run more than once."""

    @abstractmethod
    def finish(self, result: R) -> T:
        """Return the operation's result, after the commit."""


class _SimpleOperation(Operation[R, T]):
    """An operation that needs no preparation."""

    def __init__(
        self, apply: Callable[[Writer], R], finish: Callable[[R], T], thread_id: str | None
    ) -> None:
        self._apply = apply
        self._finish = finish
        self.thread_id = thread_id

    def prepare(self, bypass_cache: bool) -> None:
        pass

    def apply(self, writer: Writer) -> R:
        return self._apply(writer)

    def finish(self, result: R) -> T:
        return self._finish(result)


def simple(
    apply: Callable[[Writer], R],
    finish: Callable[[R], Any] = lambda result: result,
    *,
    thread_id: str | None = None,
) -> Operation[R, Any]:
    """Return an operation that needs no preparation.

    Args:
        apply: The change.
        finish: Function that makes the operation's result of what `apply` returned.
        thread_id: The thread that it changes. None: it changes others, or several.
    """
    return _SimpleOperation(apply, finish, thread_id)


Operations: TypeAlias = "Generator[Operation[Any, Any], Any, T]"
"""A generator of operations. It receives the result of each one before it yields the next."""


class _Located(located):
    """A context manager that also adds the owner of a damaged record."""

    def __init__(self, session: Session, ref: CheckpointRef, find_owner: bool) -> None:
        super().__init__(**ref._asdict())
        self._session = session
        self._find_owner = find_owner

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DamagedError) and (
            self._find_owner or self._location["checkpoint_id"] is None
        ):
            self._session.add_owner(error)
        super().__exit__(kind, error, trace)


def open_session(
    kv: KeyValueStore,
    serde: SerializerProtocol,
    retention: RetentionPolicy,
    level: int | None,
    cache_size: int,
    clock: Callable[[], float],
    state_of: StateOf | None = None,
) -> Session:
    """Return the session of a saver on an open key-value store.

    Args:
        kv: The store.
        serde: The serializer.
        retention: The retention policy.
        level: Compression level, or None.
        cache_size: Bytes of all caches, about.
        clock: Function that returns the time in seconds since the epoch.
        state_of: Function that computes the state of a thread. None: threads are runs of LangGraph.
    """
    if kv.readonly:
        retention = replace(retention, refresh_on_read=False)
    dedup_cache = DedupCache(cache_size // _BYTES_PER_DEDUP_ENTRY)
    codec = ValueCodec(serde, level, cache_size, dedup_cache)
    options = StoreOptions(
        level=level,
        clock=clock,
        is_ephemeral=configs.is_ephemeral,
        is_subgraph_call=configs.is_subgraph_call,
        state_of=run_states.reader_of_states(codec) if state_of is None else state_of,
        retention=retention,
    )
    commit = CommitLanes(kv)
    store = CheckpointStore(kv, options, dedup_cache)
    return Session(kv, store, commit, serde, codec, _PARENT_CACHE_SIZE if cache_size else 0)


class Session:
    """A checkpoint store with a serializer, and the caches of both.

    Args:
        kv: The key-value store.
        store: The checkpoint store on it.
        commit: The group commits, which run write operations.
        serde: The serializer.
        codec: The codec of channel values with that serializer.
        parent_cache: The highest number of checkpoints in the cache.
    """

    def __init__(
        self,
        kv: KeyValueStore,
        store: CheckpointStore,
        commit: CommitLanes,
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
        self._being_stored: dict[CheckpointRef, ParentState] = {}
        """The state of the parent of each checkpoint that is being stored."""

    @property
    def options(self) -> StoreOptions:
        return self.store.options

    def with_serde(self, serde: SerializerProtocol) -> Session:
        """Return a session on the same store with another serializer."""
        codec = self.codec.with_serde(serde)
        return Session(
            self.kv,
            self.store.with_state_of(run_states.reader_of_states(codec)),
            self._commit,
            serde,
            codec,
            self.parent_cache.limit,
        )

    def close(self) -> None:
        """Reject all later operations."""
        self._commit.close()

    def snapshot(self) -> Snapshot:
        """Return a snapshot of the store that includes the detached operations of this saver."""
        self._commit.settle()
        return self.store.snapshot()

    def view(self, apply: Callable[[Snapshot], T]) -> T:
        """Run a function on a snapshot, as `KeyValueStore.view` does; see `snapshot`."""
        self._commit.settle()
        return self.store.view(apply)

    @contextmanager
    def one_moment(self, rows: int, before: str | None) -> Iterator[Gather]:
        """Let snapshots be of one moment, as `KeyValueStore.one_moment` does."""
        self._commit.settle()
        with self.kv.one_moment(rows, before) as gather:
            yield gather

    async def settle(self) -> None:
        """Wait for the detached operations, so that the next snapshot need not wait."""
        await self._commit.settle_async()

    def add_owner(self, error: DamagedError) -> None:
        """Add the thread, namespace and checkpoint of a damaged record, if they are known."""
        with suppress(LmdbSaverError, ValueError), self.store.snapshot() as snapshot:
            error.add_location(**snapshot.describe_key(bytes.fromhex(error.record or "")))

    def located(self, ref: CheckpointRef, *, find_owner: bool = False) -> _Located:
        """Return a context manager that adds the location to errors of a read, as `located` does.

        Args:
            ref: The checkpoint to read.
            find_owner: True: add the owner of a damaged record. It is also added if the id of the
                checkpoint is not known.
        """
        return _Located(self, ref, find_owner)

    def run(self, operation: Operation[Any, T]) -> T:
        """Run an operation and return its result, after the commit."""
        with self._storing(operation.new_checkpoint):
            return self._run(operation)

    def _run(self, operation: Operation[Any, T]) -> T:
        bypass_cache = False
        while True:
            try:
                operation.prepare(bypass_cache)
                operation.encode()
                result = self._commit.run(
                    operation.apply, operation.thread_id, can_wait=operation.can_wait
                )
            except StaleError:
                bypass_cache = True
                continue
            except DamagedError as error:
                self.add_owner(error)
                raise
            return operation.finish(result)

    async def run_async(self, operation: Operation[Any, T]) -> T:
        """Async version of `run`.

        It serializes all values before the first await. The committing thread encodes them.
        """
        with self._storing(operation.new_checkpoint):
            return await self._run_async(operation)

    async def _run_async(self, operation: Operation[Any, T]) -> T:
        bypass_cache = False
        while True:
            try:
                operation.prepare(bypass_cache)
                result = await self._commit.run_async(
                    operation.apply,
                    operation.thread_id,
                    before=operation.encode,
                    can_wait=operation.can_wait,
                    detached=operation.is_detached,
                )
            except StaleError:
                bypass_cache = True
                continue
            except DamagedError as error:
                self.add_owner(error)
                raise
            return operation.finish(result)

    def begin_storing(self, ref: CheckpointRef, parent: ParentState) -> None:
        """Note that a checkpoint is being stored, and the state of its parent."""
        self._being_stored[ref] = parent

    @contextmanager
    def _storing(self, ref: CheckpointRef | None) -> Iterator[None]:
        try:
            yield
        finally:
            if ref is not None:
                self._being_stored.pop(ref, None)

    def run_sequence(self, operations: Operations[T]) -> T:
        """Run operations one after another, and return what the generator returns."""
        send: Callable[[Any], Operation[Any, Any]] = operations.send
        value: Any = None
        while True:
            try:
                operation = send(value)
            except StopIteration as stop:
                return cast("T", stop.value)
            try:
                send, value = operations.send, self.run(operation)
            except LmdbSaverError as error:
                send, value = operations.throw, error

    async def run_sequence_async(self, operations: Operations[T]) -> T:
        """Async version of `run_sequence`."""
        send: Callable[[Any], Operation[Any, Any]] = operations.send
        value: Any = None
        while True:
            try:
                operation = send(value)
            except StopIteration as stop:
                return cast("T", stop.value)
            try:
                send, value = operations.send, await self.run_async(operation)
            except LmdbSaverError as error:
                send, value = operations.throw, error

    def parent_state(
        self, ref: CheckpointRef, bypass_cache: bool, root: str | None = None
    ) -> ParentState:
        """Return the state of a checkpoint.

        A write that follows a checkpoint of an expired thread revives the thread, so checkpoints of
        expired threads are found here.

        Args:
            ref: The checkpoint.
            bypass_cache: True: read the store.
            root: Id of the root-namespace checkpoint that called the subgraph.
        """
        if not bypass_cache and ref.checkpoint_id is not None:
            known = self.parent_cache.get(ref)
            if known is not None:
                return known

        def read(snapshot: Snapshot) -> ParentState:
            thread, expired = snapshot.thread_of_any_age(ref.thread_id)
            if thread is None:
                return ParentState(None, None)
            namespace = namespaces.find(snapshot.reader, thread, ref.checkpoint_ns)
            record = None
            if namespace is not None and ref.checkpoint_id is not None:
                record = checkpoints.read(snapshot.reader, namespace, ref.checkpoint_id)
            if expired and record is None and not snapshot.has_root(thread, root):
                return ParentState(None, None)
            return ParentState(thread.thread_version, record)

        return self.store.view(read)

    def state_for_writes(self, ref: CheckpointRef, bypass_cache: bool) -> ParentState:
        """Return the state with which pending writes of a checkpoint are compared.

        While the checkpoint is being stored, as LangGraph does at the same time, it is the state of
        its parent: so nothing is read, and what the writes have in common with it is shared.
        Otherwise it is the state of the checkpoint; see `parent_state`.
        """
        if not bypass_cache and self.parent_cache.get(ref) is None:
            parent = self._being_stored.get(ref)
            if parent is not None:
                return parent
        return self.parent_state(ref, bypass_cache)

    def view_of(
        self,
        thread_id: str,
        thread_version: ThreadVersion | None,
        apply: Callable[[Snapshot], T],
    ) -> T:
        """Run a function on a snapshot in which a thread has the expected version; see `view`.

        Raises:
            StaleError: The thread has changed.
        """

        def run(snapshot: Snapshot) -> T:
            thread, _ = snapshot.thread_of_any_age(thread_id)
            if thread is None or thread.thread_version != thread_version:
                raise StaleError
            return apply(snapshot)

        return self.store.view(run)
