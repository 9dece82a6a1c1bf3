"""What both faces of the saver stand on: operations that a thread runs or a coroutine awaits."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast

from langgraph.checkpoint.lmdb.engine.store import StaleError
from langgraph.checkpoint.lmdb.engine.sweep import Rollback
from langgraph.checkpoint.lmdb.errors import DamagedError, LmdbSaverError
from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from langgraph.checkpoint.serde.base import SerializerProtocol

    from langgraph.checkpoint.lmdb.codec.value_codec import ValueCodec
    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord, Version
    from langgraph.checkpoint.lmdb.engine.chunks import StoredValue, ThreadVersion
    from langgraph.checkpoint.lmdb.engine.housekeeping import Housekeeping
    from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
    from langgraph.checkpoint.lmdb.engine.store import CheckpointStore
    from langgraph.checkpoint.lmdb.kv.base import Writer
    from langgraph.checkpoint.lmdb.kv.group_commit import GroupCommit
    from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef

R = TypeVar("R")
T = TypeVar("T")


@dataclass(slots=True)
class Operation(Generic[R, T]):
    """A change to the store: prepared outside of any transaction, applied in one."""

    prepare: Callable[[bool], Callable[[Writer], R]]
    """Makes what the transaction runs. It is told whether to start from the store alone, since
    what was remembered turned out to be stale."""
    finish: Callable[[R], T]
    can_wait: bool = False
    """Whether it may wait for others to be committed with."""
    detached: bool = False
    """Whether its caller may be gone while it waits in a coroutine: then reads wait for it."""


def simple(apply: Callable[[Writer], R]) -> Operation[R, R]:
    """An operation that needs no preparation."""
    return Operation(lambda _: apply, lambda result: result)


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


class Session:
    """A checkpoint store, a serialiser, and what is remembered of both.

    Args:
        store: The store.
        housekeeping: Its operations on whole threads.
        commit: What runs write operations.
        serde: The serialiser for all that users put into checkpoints.
        codec: Encodes channel values with that serialiser.
        views: How many checkpoints to remember.
        refresh_on_read: Whether a read counts as activity of its thread.
    """

    def __init__(
        self,
        store: CheckpointStore,
        housekeeping: Housekeeping,
        commit: GroupCommit,
        serde: SerializerProtocol,
        codec: ValueCodec,
        parent_cache: int,
        refresh_on_read: bool,
    ) -> None:
        self.store = store
        self.housekeeping = housekeeping
        self.codec = codec
        self.serde = serde
        self.parent_cache = ParentCache(parent_cache)
        self.refresh_on_read = refresh_on_read
        self._commit = commit

    def with_serde(self, serde: SerializerProtocol) -> Session:
        """The same store seen through another serialiser."""
        return Session(
            self.store,
            self.housekeeping,
            self._commit,
            serde,
            self.codec.with_serde(serde),
            self.parent_cache.limit,
            self.refresh_on_read,
        )

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
            for name, value in snapshot.places(bytes.fromhex(error.record or "")).items():
                if getattr(error, name) is None:
                    setattr(error, name, value)
        return error

    def run(self, operation: Operation[Any, T]) -> T:
        """Carry out an operation; it is durable when this returns."""
        bypass_cache = False
        while True:
            try:
                result = self._commit.run(
                    operation.prepare(bypass_cache), can_wait=operation.can_wait
                )
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
                apply = operation.prepare(bypass_cache)
                result = await self._commit.run_async(
                    apply, can_wait=operation.can_wait, detached=operation.detached
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
            namespace = snapshot.namespace(thread, ref.checkpoint_ns)
            record = None
            if namespace is not None and ref.checkpoint_id is not None:
                record = snapshot.checkpoint(thread.number, namespace, ref.checkpoint_id)
            if expired and record is None and not snapshot.has_root(thread, root):
                return ParentState(None, None)
            return ParentState(thread.thread_version, record)

    @contextmanager
    def snapshot_of(self, thread_id: str, thread_version: ThreadVersion) -> Iterator[Snapshot]:
        """A view of the store in which what was learned of a thread still holds.

        Raises:
            StaleError: It does not hold any more.
        """
        with self.store.snapshot() as snapshot:
            thread, _ = snapshot.thread_of_any_age(thread_id)
            if thread is None or thread.thread_version != thread_version:
                raise StaleError
            yield snapshot
